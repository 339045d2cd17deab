"""What files say of their own origin, on its way through a scan and the command of its own."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.isolate import Failed, Isolated
from facecheck.core.labels import Status
from facecheck.core.workspace import BUILTIN_FAST
from facecheck.provenance.read import load_evidence, read_provenance
from facecheck.report.explain import explain
from facecheck.scanner.checker import Checker
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.job import scan
from facecheck.scanner.options import (
    CheckOptions,
    ExplainOptions,
    ProvenanceTableOptions,
    ScanOptions,
)
from facecheck.scanner.prepare import Prepared
from facecheck.scanner.provenance import provenance
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.rows import Row, read_rows
from facecheck.scanner.workers.local import prepared_or_failed
from tests.provenance.signing import created, signed

MARK = "Synthetic image: made by a trained generative model."


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of a marked PNG, a signed JPEG, a plain one and a file that is none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = Image.effect_noise((96, 96), 60).convert("RGB")
    info = PngInfo()
    info.add_text("Description", MARK)
    picture.save(folder / "marked.png", pnginfo=info)
    picture.save(folder / "plain.jpg")
    made = signed(
        (folder / "plain.jpg").read_bytes(), "image/jpeg", [created("trainedAlgorithmicMedia")]
    )
    (folder / "signed.jpg").write_bytes(made)
    (folder / "text.png").write_text("hello")
    return folder


def rows(folder: Path, out: Path, **options: Any) -> dict[str, Row]:
    scan([folder], out, BUILTIN_FAST, ScanOptions(faces="off", workers=1, **options))
    return {Path(str(row["path"])).name: row for row in read_rows(out, COLUMNS)}


@pytest.mark.slow
def test_scan_explain_and_checker_go_by_the_same_evidence(pictures: Path, tmp_path: Path) -> None:
    found = rows(pictures, tmp_path / "r.csv")
    checker = Checker(BUILTIN_FAST, CheckOptions(faces="off"))
    for name, short in (("marked.png", "mark:facecheck"), ("signed.jpg", "c2pa:valid:generated")):
        row = found[name]
        assert (row["verdict"], row["kind"]) == ("artificial", "generated")
        assert (row["basis"], row["provenance"]) == ("provenance", short)
        answer = checker.check(pictures / name)
        assert (answer.verdict, answer.basis, answer.message) == (
            row["verdict"], row["basis"], row["message"]
        )  # fmt: skip
        assert answer.provenance.short == short
    shown = explain(
        pictures / "marked.png", BUILTIN_FAST, tmp_path / "e.png", ExplainOptions(faces="off")
    )
    assert (shown.verdict, shown.basis) == ("artificial", "provenance")
    assert shown.message == found["marked.png"]["message"]
    assert shown.provenance.short == "mark:facecheck"
    assert (found["plain.jpg"]["basis"], found["plain.jpg"]["provenance"]) == ("pixels", "")
    assert (found["text.png"]["status"], found["text.png"]["basis"]) == ("error", "")


@pytest.mark.slow
def test_without_provenance_pixels_alone_count_and_a_scan_starts_again(
    pictures: Path, tmp_path: Path
) -> None:
    on = rows(pictures, tmp_path / "on.csv")
    off = rows(pictures, tmp_path / "off.csv", provenance="off")
    for name, row in off.items():
        assert row["provenance"] == row["generator"] == ""
        assert row["basis"] in ("pixels", "")
        assert row["score"] == on[name]["score"]
    facts = [json.loads((tmp_path / f"{name}.csv.meta.json").read_text()) for name in ("on", "off")]
    assert [each["provenance"] for each in facts] == ["on", "off"]


@pytest.mark.slow
def test_files_are_placed_by_a_verdict_of_evidence(pictures: Path, tmp_path: Path) -> None:
    found = rows(pictures, tmp_path / "r.csv", only=("artificial",), copy_to=tmp_path / "sorted")
    assert {"marked.png", "signed.jpg"} <= set(found)
    placed = {path.name for path in (tmp_path / "sorted" / "artificial").rglob("*.*")}
    assert {"marked.png", "signed.jpg"} <= placed


def test_a_decoder_that_crashes_over_a_manifest_is_tried_without_it(pictures: Path) -> None:
    item = Item("signed.jpg", 0, 0, str(pictures / "signed.jpg"))
    crashed = Failed("the decoder crashed (SIGSEGV)")
    done = prepared_or_failed(item, crashed, lambda item: Prepared(item, width=96))
    assert (done.status, done.width) == (Status.OK, 96)
    assert done.provenance.short == (
        "c2pa:unread;error: its Content Credentials cannot be read: the decoder crashed (SIGSEGV)"
    )
    assert prepared_or_failed(item, crashed).status == Status.ERROR
    assert prepared_or_failed(item, crashed, lambda _: crashed).status == Status.ERROR
    plain = Item("plain.jpg", 0, 0, str(pictures / "plain.jpg"))
    assert prepared_or_failed(plain, crashed, Prepared).status == Status.ERROR


@pytest.mark.slow
def test_the_command_tables_every_file(pictures: Path, tmp_path: Path) -> None:
    result = provenance([pictures], tmp_path / "t.csv", ProvenanceTableOptions(workers=1))
    with (tmp_path / "t.csv").open() as stream:
        table = {Path(row["path"]).name: row for row in csv.DictReader(stream)}
    assert [row["claim"] for row in table.values()] == ["generated", "", "generated", ""]
    assert table["signed.jpg"]["signer"] == "Signer, facecheck tests"
    assert table["marked.png"]["evidence"] == f"text Description: {MARK}"
    assert (result.files, result.errors) == (4, 0)
    assert result.claims == {"generated": 2, "nothing": 2}
    assert [Path(each.path).name for each in result.shown] == ["marked.png", "signed.jpg"]
    with pytest.raises(UsageError, match="--overwrite"):
        provenance([pictures], tmp_path / "t.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FacecheckError, match="no images"):
        provenance([tmp_path / "empty"])


def crash(_: Item) -> None:
    os.abort()


@pytest.mark.slow
def test_the_command_survives_a_crash_of_its_reader(pictures: Path) -> None:
    from facecheck.scanner import provenance as module

    evidence = load_evidence()
    item = Item("signed.jpg", 0, 0, str(pictures / "signed.jpg"))
    with Isolated(crash, timeout=20) as read:
        file = module._safely(item, evidence, read)  # type: ignore[arg-type]
    assert file.message == ""
    assert file.provenance.short.startswith("c2pa:unread;error: ")


@pytest.mark.slow
def test_the_terminal_says_what_was_found(
    command: Callable[..., Any], pictures: Path, tmp_path: Path
) -> None:
    one = command("provenance", pictures / "plain.jpg")
    assert one.code == 0
    assert "says nothing of its origin" in one.out
    found = command("provenance", pictures / "signed.jpg")
    assert "c2pa:valid:generated" in found.out
    assert "signed by Signer, facecheck tests" in " ".join(found.out.split())
    gone = command("provenance", tmp_path / "gone.jpg")
    assert gone.code == 2


def test_one_file_can_be_read_from_python(pictures: Path) -> None:
    import facecheck

    assert facecheck.read_provenance(pictures / "marked.png").artificial
    assert read_provenance((pictures / "marked.png").read_bytes()).generator == "facecheck generate"
