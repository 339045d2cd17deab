"""A scan's rows as columns: nothing is lost on the way, and every reason to review is found."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from facecheck.core.labels import Status
from facecheck.known.lookup import Match
from facecheck.known.table import Entry
from facecheck.model.predict import Prediction, decide
from facecheck.model.several_faces import FileThreshold, Tail
from facecheck.model.stability import flag_unstable
from facecheck.report.gallery_rows import REASONS, GalleryRows, reason_of
from facecheck.scanner.answers import Answer, FaceAnswer, _by_people
from facecheck.scanner.results.columns import COLUMNS, rows_of
from facecheck.scanner.results.rows import Row, tidy
from tests.model.test_predict import HEADER

ROWS: list[Row] = [
    {"path": "a/b.zip::c/ü\\xff.png", "status": "ok", "verdict": "real", "kind": "photo",
     "basis": "known", "score": 0.994924, "p_photo": 0.005076, "view": "face", "faces": 300,
     "face": 2, "face_left": -3, "width": 70_000, "height": 9, "message": "known as real"},
    {"path": "=1+1", "status": "error", "message": "the file is not there"},
    {"path": "a/b.zip::c/", "status": "no_face", "width": 2, "height": 3, "faces": 0},
]  # fmt: skip


def tidied(row: Row) -> Row:
    return tidy(row, COLUMNS)


def unpacked(column: Mapping[str, Any]) -> list[int]:
    content = zlib.decompress(base64.b64decode(column["data"]))
    return np.frombuffer(content, f"<i{column['bytes']}").tolist()  # type: ignore[no-any-return]


def test_a_row_is_given_as_it_was() -> None:
    wanted = [tidied(row) for row in ROWS]
    rows = GalleryRows(wanted)
    assert list(rows) == wanted
    assert rows[1:] == wanted[1:]
    assert [rows.path(number) for number in range(3)] == [row["path"] for row in ROWS]


def test_numbers_are_packed_in_the_fewest_bytes() -> None:
    packed = GalleryRows(map(tidied, ROWS)).packed(1)
    assert (packed["first"], packed["rows"]) == (1, 2)
    assert unpacked(packed["columns"]["width"]) == [-128, 2]
    assert unpacked(packed["columns"]["status"]) == [3, 1]
    assert packed["columns"]["score"] is None
    whole = GalleryRows(map(tidied, ROWS)).packed()
    assert unpacked(whole["columns"]["width"]) == [70_000, -(2**31), 2]
    assert unpacked(whole["columns"]["faces"]) == [300, -(2**15), 0]
    names = zlib.decompress(base64.b64decode(whole["names"])).decode().split("\0")
    assert names == ["ü\\xff.png", "=1+1", ""]


def test_numbers_that_no_scan_writes_do_not_break_it() -> None:
    row = tidied({"path": "a", "status": "?", "faces": 10**30, "width": -(10**30), "score": 1e300})
    assert GalleryRows([row]).packed()["rows"] == 1


class Unlike:
    """Takes every face for one that the model does not know."""

    def is_ood(self, _: object) -> bool:
        return True


def prediction(score: float, **more: Any) -> Prediction:
    header = replace(HEADER, kinds=("photo", "generated"), thresholds=(0.2, 0.9), **more)
    logits = np.array([0.0, math.log(score / (1 - score))])
    return decide(logits, header, np.zeros(2))


def answer(*found: Prediction, **more: Any) -> Answer:
    classified = tuple(FaceAnswer(one, None) for one in found)
    return Answer("a.jpg", Status.OK, classified=classified, **more)


def cases() -> dict[str, Answer]:
    """Return answers for the reasons, made as a scan makes them."""
    entry = Entry(sha256="0" * 64, verdict="real")
    several = FileThreshold(0.9, Tail(2.0, 30))
    return {
        "between": answer(prediction(0.5)),
        "between, of several": answer(prediction(0.91), prediction(0.1), threshold=several),
        "unfamiliar": answer(prediction(0.99, guard=Unlike())),
        "flips": answer(flag_unstable([prediction(0.95), prediction(0.1)])),
        "known": answer(prediction(0.95)).decided(_by_people(Match(entry, "bytes"))),
        "like known": answer(prediction(0.1), notes=Match(entry, "picture").message),
        "like known, and between": answer(prediction(0.5), notes=Match(entry, "edited").message),
    }


@pytest.mark.parametrize("case", list(cases()))
def test_the_reason_is_found_in_what_a_scan_writes(case: str) -> None:
    wanted = {"like known, and between": "between"}.get(case, case.partition(",")[0])
    found = cases()[case]
    assert wanted in {*REASONS}
    assert reason_of(tidied(rows_of(found)[0])) == wanted


def test_what_a_file_says_of_itself_is_a_reason() -> None:
    said = {"path": "a", "status": "ok", "verdict": "artificial", "basis": "provenance"}
    assert reason_of(tidied(said)) == "provenance"


def test_a_verdict_that_needs_no_review_has_no_reason() -> None:
    row = rows_of(answer(prediction(0.1), notes="repaired: no end marker"))[0]
    assert reason_of(tidied(row)) == ""
