from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from facecheck.core.whatis import mistaken, what_is


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("m.csv", "path,source,kind\n", "a manifest"),
        ("m.csv", "path;source;kind;mine\n", "a manifest"),
        ("r.csv", "path,status,verdict,kind,score\n", "a table of scan results"),
        (
            "r.jsonl",
            '{"path": "a", "status": "ok", "verdict": "", "score": 1}\n',
            "a table of scan",
        ),
        ("d.csv", "dropped,keeper,why\n", "a table of duplicates"),
        ("d.csv", "image,label\n", "a table"),
        ("r.yaml", "epochs: 5\n", "a YAML file"),
        ("w.pth", "PK", "a PyTorch file"),
        ("a.jpg", "plain text", "a text file"),
        ("a.pdf", "%PDF-1.4", "a PDF document"),
        ("a.csv", "", "an empty file"),
        ("a.bin", "\x00\x01\x02\x03", "a file of an unknown format"),
    ],
)
def test_a_file_is_named_by_what_is_in_it(
    tmp_path: Path, name: str, content: str, what: str
) -> None:
    (tmp_path / name).write_text(content)
    assert what_is(tmp_path / name).startswith(what)


def test_images_tables_and_folders_are_named(tmp_path: Path) -> None:
    import polars as pl

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    pl.DataFrame({"path": ["a"], "source": ["s"], "kind": ["photo"]}).write_parquet(
        tmp_path / "m.parquet"
    )
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    run = tmp_path / "run"
    run.mkdir()
    assert what_is(tmp_path / "a.png") == "a PNG"
    assert what_is(tmp_path / "m.parquet") == "a manifest"
    assert what_is(tmp_path / "broken.parquet") != "a manifest"
    assert what_is(run) == "a folder"
    (run / "run.json").write_text("{}")
    assert what_is(run) == "a run folder"
    assert what_is(tmp_path / "gone") == "not there"
    assert mistaken(Path("x.png"), "a run", "name one") == "x.png is not there, not a run: name one"
