from __future__ import annotations

import os
from pathlib import Path

import pytest

from facecheck.core.files import name_text, write_json
from facecheck.scanner.inputs.named import base_of, is_relative, located


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of a scan that ran in ``ran``, seen from ``here``; both hold ``in/both.jpg``."""
    for name in ("ran/in/a.jpg", "ran/in/both.jpg", "here/in/both.jpg", "other/in/b.zip"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    write_json(tmp_path / "r.csv.meta.json", {"folder": name_text(tmp_path / "ran")})
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "r.csv"


def test_relative_names_are_of_where_the_scan_ran(results: Path, tmp_path: Path) -> None:
    assert base_of(results, ["in/gone.jpg", "in/both.jpg"]) == tmp_path / "ran"
    assert base_of(results, ["in/gone.jpg"]) == tmp_path / "here"
    assert base_of(results, ["in/b.zip::x.jpg"], Path("../other")).samefile(tmp_path / "other")
    write_json(Path(f"{results}.meta.json"), {"folder": "../ran"})  # not what a scan writes
    assert base_of(results, ["in/a.jpg"]) == tmp_path / "here"
    write_json(Path(f"{results}.meta.json"), {"folder": ["x"]})
    assert base_of(results, ["in/both.jpg"]) == tmp_path / "here"


def test_a_member_is_where_its_archive_is(tmp_path: Path, results: Path) -> None:
    write_json(Path(f"{results}.meta.json"), {"folder": str(tmp_path / "other")})
    assert base_of(results, ["in/b.zip::in/x.jpg"]) == tmp_path / "other"


@pytest.mark.parametrize(
    ("name", "relative"),
    [
        ("a.jpg", True),
        ("./=a.jpg", True),
        ("in/b.zip::x.jpg", True),
        ("/in/a.jpg", False),
        ("s3://bucket/a.jpg", False),
        ("caf\\xe9.jpg", True),
    ],
)
def test_only_relative_names_are_moved(name: str, relative: bool) -> None:
    assert is_relative(name) == relative
    assert located(name, Path("/base")) == (f"/base/{name}" if relative else name)
    assert located(name, Path.cwd()) == name
    assert os.fspath(Path.cwd()) not in located(name, Path("/base"))
