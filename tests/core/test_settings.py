from __future__ import annotations

from pathlib import Path

import pytest

from facecheck.core.errors import ConfigError
from facecheck.core.options import Trust
from facecheck.core.settings import read_settings

KNOWN = {
    "train": {"epochs": Trust.ANY, "batch-size": Trust.ANY},
    "scan": {"out": Trust.NAMED, "yes": Trust.NO_FILE, "faces": Trust.ANY},
}


def test_no_file_is_no_settings(tmp_path: Path) -> None:
    assert read_settings(tmp_path / "facecheck.yaml", KNOWN) == {}


def test_options_are_found_by_command(tmp_path: Path) -> None:
    path = tmp_path / "facecheck.yaml"
    path.write_text("train:\n  epochs: 3\n  batch-size: 8\n")
    assert read_settings(path, KNOWN) == {"train": {"epochs": "3", "batch_size": "8"}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("trian: {epochs: 3}", "unknown command 'trian'; did you mean 'train'"),
        ("train: {epoch: 3}", "unknown option 'epoch'; did you mean 'epochs'"),
        ("train: 3", "must map options"),
        ("- train", "must map commands"),
        ("train: {", "not readable YAML"),
        ("[" * 20_000, "not readable YAML"),
        ("train: {epochs: 3, epochs: 4}", "'epochs' is there twice"),
        ("!!python/object/apply:os.system ['true']", "not readable YAML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "facecheck.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_settings(path, KNOWN)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("scan: {'yes': true}", "'yes' is your consent, not a file's: pass --yes"),
        ("scan: {out: precious.csv}", "'out' says where files are written .* pass --out"),
    ],
)
def test_a_file_that_was_only_found_consents_to_nothing(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "facecheck.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_settings(path, KNOWN)


def test_a_file_that_the_user_names_may_say_where_files_are_written(tmp_path: Path) -> None:
    path = tmp_path / "facecheck.yaml"
    path.write_text("scan: {out: results.csv}")
    assert read_settings(path, KNOWN, named=True) == {"scan": {"out": "results.csv"}}
    path.write_text("scan: {'yes': true}")
    with pytest.raises(ConfigError, match="your consent"):
        read_settings(path, KNOWN, named=True)
