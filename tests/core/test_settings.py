from __future__ import annotations

from pathlib import Path

import pytest

from facecheck.core.errors import ConfigError
from facecheck.core.settings import read_settings

KNOWN = {"train": frozenset({"epochs", "batch-size"}), "scan": frozenset({"out"})}


def test_no_file_is_no_settings(tmp_path: Path) -> None:
    assert read_settings(tmp_path / "facecheck.yaml", KNOWN) == {}


def test_options_are_found_by_command(tmp_path: Path) -> None:
    path = tmp_path / "facecheck.yaml"
    path.write_text("train:\n  epochs: 3\n  batch-size: 8\n")
    assert read_settings(path, KNOWN) == {"train": {"epochs": 3, "batch_size": 8}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("trian: {epochs: 3}", "unknown command 'trian'; did you mean 'train'"),
        ("train: {epoch: 3}", "unknown option 'epoch'; did you mean 'epochs'"),
        ("train: 3", "must map options"),
        ("- train", "must map commands"),
        ("train: {", "not readable YAML"),
        ("!!python/object/apply:os.system ['true']", "not readable YAML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "facecheck.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_settings(path, KNOWN)
