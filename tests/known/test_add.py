from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from facecheck.core.errors import FacecheckError, ImageError, UsageError
from facecheck.known.add import KnownAddResult, known_add, known_show
from facecheck.known.options import KnownAddOptions


@pytest.fixture
def faces(portraits: list[Path], tmp_path: Path) -> Path:
    folder = tmp_path / "faces"
    folder.mkdir()
    for number, path in enumerate(portraits[:3]):
        shutil.copy(path, folder / f"{number}{path.suffix}")
    (folder / "notes.txt").write_text("no image")
    return folder


def add(tmp_path: Path, *inputs: Path, **options: Any) -> KnownAddResult:
    return known_add(inputs, tmp_path / "known.csv", KnownAddOptions(**options))


def test_a_folder_is_added_once_and_counted(faces: Path, tmp_path: Path) -> None:
    result = add(tmp_path, faces, verdict="real")
    assert (result.added, result.already, result.rows) == (3, 0, 3)
    assert result.skipped.ignored == 1
    before = (tmp_path / "known.csv").read_bytes()
    again = add(tmp_path, faces, verdict="real")
    assert (again.added, again.already, again.rows) == (0, 3, 3)
    assert (tmp_path / "known.csv").read_bytes() == before
    shown = known_show(tmp_path / "known.csv")
    assert (shown.rows, shown.verdicts, shown.kinds) == (3, {"real": 3}, {})
    assert (shown.pictures, shown.thumbnails) == (3, 3)


def test_another_verdict_is_refused_and_then_replaces(faces: Path, tmp_path: Path) -> None:
    add(tmp_path, faces, verdict="real")
    before = (tmp_path / "known.csv").read_bytes()
    with pytest.raises(UsageError, match="0.* known as real, now artificial: pass --replace"):
        add(tmp_path, faces, verdict="artificial")
    assert (tmp_path / "known.csv").read_bytes() == before
    first = next(faces.glob("0.*"))
    result = add(tmp_path, first, verdict="artificial", replace=True)
    assert (result.added, result.replaced, result.rows) == (1, 1, 3)
    assert known_show(tmp_path / "known.csv").verdicts == {"real": 2, "artificial": 1}


def test_a_kind_and_a_note_take_the_place_of_a_row_without(faces: Path, tmp_path: Path) -> None:
    first = next(faces.glob("0.*"))
    add(tmp_path, first, verdict="artificial")
    result = add(tmp_path, first, kind="sketch", note="by Anna")
    assert (result.added, result.replaced, result.rows) == (1, 1, 1)
    assert known_show(tmp_path / "known.csv").kinds == {"sketch": 1}
    assert add(tmp_path, first, verdict="artificial").already == 1


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_tables_of_any_program_are_taken(faces: Path, tmp_path: Path, suffix: str) -> None:
    first, second, _ = (str(path) for path in sorted(faces.glob("[0-9].*")))
    rows: dict[str, list[str | None]] = {
        "path": [first, second, None, str(faces / "gone.jpg")],
        "sha256": [None, None, "A" * 64, None],
        "Verdict": ["artificial", None, "uncertain", "real"],
        "kind": ["cartoon", "photo", None, None],
        "case": ["1", "2", "3", "4"],
    }
    table = tmp_path / f"corrections{suffix}"
    frame = pl.DataFrame(rows, schema=dict.fromkeys(rows, pl.String))
    if suffix == ".csv":
        frame.write_csv(table)
    elif suffix == ".parquet":
        frame.write_parquet(table)
    else:
        table.write_text("".join(json.dumps(row) + "\n" for row in frame.iter_rows(named=True)))
    result = add(tmp_path, table)
    assert (result.added, result.bytes_only) == (3, 1)
    assert sum(result.failed.values()) == 1
    assert known_show(tmp_path / "known.csv").verdicts == {
        "real": 1, "artificial": 1, "uncertain": 1
    }  # fmt: skip


RESULTS = "path,status,verdict,kind,score\n{0},ok,real,photo,0.1\nno.jpg,error,,,\n"


def test_what_a_scan_said_is_no_decision_unless_a_person_says_so(
    faces: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results.csv"
    results.write_text(RESULTS.format(next(faces.glob("0.*"))))
    with pytest.raises(UsageError, match="a scan's own: pass --verdict"):
        add(tmp_path, results)
    assert not (tmp_path / "known.csv").exists()
    assert add(tmp_path, results, reviewed=True).added == 1
    decided = add(tmp_path, results, verdict="artificial", replace=True)
    assert (decided.added, decided.replaced, sum(decided.failed.values())) == (1, 1, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,verdict\na.jpg,maybe\n", "row 2: unknown verdict 'maybe'"),
        ("path,verdict\n,real\n", "row 2: neither path nor sha256"),
        ("sha256,verdict\nabc,real\n", "row 2: sha256 'abc'"),
        ("path,verdict,note\na.jpg,real,=1\n", "row 2: a note that a spreadsheet would run"),
        ("path,verdict\na.jpg,real,3\n", "behind row 0: no row of a table"),
        ('path,verdict\na.jpg,"real\n', "behind row 0: no row of a table"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_changed(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(FacecheckError, match=said):
        add(tmp_path, tmp_path / "c.csv")
    assert not (tmp_path / "known.csv").exists()


def test_what_is_at_odds_is_refused(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="what is decided of it"):
        add(tmp_path, faces)
    with pytest.raises(UsageError, match="unknown verdict 'fake'"):
        KnownAddOptions(verdict="fake")
    with pytest.raises(UsageError, match="verdict real with kind cartoon"):
        KnownAddOptions(verdict="real", kind="cartoon")
    with pytest.raises(UsageError, match="CSV"):
        known_add([faces], tmp_path / "known.parquet", KnownAddOptions(verdict="real"))
    first = next(faces.glob("0.*"))
    twice = tmp_path / "twice.csv"
    twice.write_text(f"path,verdict\n{first},real\n{first},artificial\n")
    with pytest.raises(UsageError, match="given twice"):
        add(tmp_path, twice)


def test_what_is_out_of_reach_or_damaged_is_said(faces: Path, tmp_path: Path) -> None:
    def refuse(name: str) -> Path:
        raise ImageError("out of reach")

    (tmp_path / "c.csv").write_text("path,verdict\na.jpg,real\n")
    options = KnownAddOptions()
    known = tmp_path / "known.csv"
    result = known_add([tmp_path / "c.csv"], known, options, loader_of=lambda _: refuse)
    assert (result.added, result.failed) == (0, {"out of reach": 1})
    damaged = faces / "damaged.jpg"
    damaged.write_bytes(next(faces.glob("0.*")).read_bytes()[:900])
    assert add(tmp_path, damaged, verdict="real").bytes_only == 1


HEADER = "path,sha256,face,faces,verdict,kind,note,by,at\n"


def corrections(tmp_path: Path, *rows: str) -> Path:
    table = tmp_path / "corrections.csv"
    table.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return table


def entries(tmp_path: Path) -> dict[str, tuple[str, str, str]]:
    with (tmp_path / "known.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {Path(row["path"]).stem: (row["verdict"], row["kind"], row["note"]) for row in rows}


def test_corrections_of_a_page_say_who_decided_and_when(faces: Path, tmp_path: Path) -> None:
    first, second, third = sorted(faces.glob("[0-9].*"))
    table = corrections(
        tmp_path,
        f"{first},,,,real,photo,,Anna,2026-11-29T18:00:00Z",
        f"{second},,,,artificial,,seen it before,,",
        f"{third},,,,uncertain,,blurred,Anna,",
    )
    assert add(tmp_path, table).added == 3
    assert entries(tmp_path) == {
        "0": ("real", "photo", "by Anna on 2026-11-29"),
        "1": ("artificial", "", "seen it before"),
        "2": ("uncertain", "", "blurred; by Anna"),
    }


def test_a_file_is_real_only_if_every_face_of_it_is(faces: Path, tmp_path: Path) -> None:
    """A table knows files, not faces: what is not decided does not fall to the side of trust."""
    first, second, third = sorted(faces.glob("[0-9].*"))
    table = corrections(
        tmp_path,
        f"{first},,1,2,real,photo,,,",
        f"{second},,2,3,artificial,cartoon,,,",
        f"{third},,1,2,real,photo,,,",
        f"{second},,1,3,real,photo,,,",
        f"{first},,2,2,real,photo,,,",
    )
    result = add(tmp_path, table)
    assert result.failed == {"1 of its 2 faces decided, as real: decide the others, too": 1}
    assert entries(tmp_path) == {"0": ("real", "photo", ""), "1": ("artificial", "cartoon", "")}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{0},,1,2,artificial,,,,", "row 3: face 1 was decided before, as real photo"),
        ("{0},,0,2,real,,,,", "row 3: face '0': must be a number from 1"),
        ("{0},,2,many,real,,,,", "row 3: faces 'many': must be a number from 1"),
    ],
)
def test_faces_that_cannot_be_are_refused(
    faces: Path, tmp_path: Path, row: str, message: str
) -> None:
    first = next(faces.glob("0.*"))
    table = corrections(tmp_path, f"{first},,1,2,real,photo,,,", row.format(first))
    with pytest.raises(FacecheckError, match=message):
        add(tmp_path, table)
    assert not (tmp_path / "known.csv").exists()
