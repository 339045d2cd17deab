from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from facecheck.core.labels import Basis, Status, Verdict
from facecheck.model.predict import Prediction
from facecheck.model.several_faces import FileThreshold, Tail
from facecheck.provenance.evidence import Claim, Finding, State, Witness, collected
from facecheck.scanner.answers import Answer, Decision, to_answer
from facecheck.scanner.faces.boxes import Box, Face
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.prepare import FACE_VIEW, WHOLE_VIEW, Crop, Prepared
from facecheck.scanner.results.columns import rows_of

ITEM = Item("item", 0, 0, None, 0, partial(bytes, b""))
PIXELS = np.zeros((1, 1, 64, 64, 3), np.uint8)


def predicted(verdict: Verdict, score: float) -> Prediction:
    return Prediction(verdict, "photo" if score < 0.5 else "cartoon", score, {"photo": 1 - score})


def whole(faces: int | None, *, faint_face: bool = True) -> Prepared:
    return Prepared(
        ITEM,
        view=WHOLE_VIEW,
        crops=(Crop(PIXELS),),
        faces=faces,
        faint_face=faint_face,
        width=300,
        height=200,
    )


@pytest.mark.parametrize(
    ("verdict", "kind", "faces", "status"),
    [
        (Verdict.ARTIFICIAL, "cartoon", 0, Status.OK),  # a drawing that the detector missed
        (Verdict.ARTIFICIAL, "sculpture", 0, Status.OK),
        (Verdict.ARTIFICIAL, "generated", 0, Status.NO_FACE),  # whose face would have been found
        (Verdict.ARTIFICIAL, "composite", 0, Status.NO_FACE),
        (Verdict.ARTIFICIAL, "photo", 0, Status.NO_FACE),  # most probable of many, yet not half
        (Verdict.REAL, "photo", 0, Status.NO_FACE),  # a photograph of something else
        (Verdict.UNCERTAIN, "cartoon", 0, Status.NO_FACE),
        (Verdict.REAL, "photo", None, Status.OK),  # no faces were searched for
        (Verdict.UNCERTAIN, "cartoon", None, Status.OK),
        (Verdict.ARTIFICIAL, "generated", 1, Status.OK),
    ],
)
def test_without_a_face_only_what_is_made_by_hand_is_an_answer(
    verdict: Verdict, kind: str, faces: int | None, status: Status
) -> None:
    found = replace(predicted(verdict, 0.9 if verdict == Verdict.ARTIFICIAL else 0.1), kind=kind)
    answer = to_answer(whole(faces), [found])
    is_ok = status == Status.OK
    assert (answer.status, answer.view) == (status, WHOLE_VIEW if is_ok else "")
    assert (answer.verdict, answer.kind, answer.score) == (
        (found.verdict, kind, found.score) if is_ok else (None, None, None)
    )
    for per_face in (False, True):
        (row,) = rows_of(answer, per_face=per_face)
        assert (row["status"], row["width"]) == (status, 300)
        assert row.get("verdict") == (verdict if is_ok else None)


def test_an_answer_is_about_the_most_artificial_face() -> None:
    faces = [
        Face(Box(10 * side, 0, side, side), 0.9, number)
        for number, side in ((3, 90), (2, 70), (1, 50))
    ]
    prepared = Prepared(
        ITEM,
        view=FACE_VIEW,
        crops=tuple(Crop(PIXELS, face) for face in faces),
        faces=4,
        largest=faces[0],
        width=1000,
        height=100,
    )
    predictions = [
        predicted(Verdict.REAL, 0.2),
        predicted(Verdict.ARTIFICIAL, 0.8),
        predicted(Verdict.UNCERTAIN, 0.5),
    ]
    answer = to_answer(prepared, predictions)
    assert (answer.verdict, answer.score, answer.box) == (Verdict.ARTIFICIAL, 0.8, faces[1].box)
    assert answer.probabilities == {"photo": pytest.approx(0.2)}
    assert [(one.prediction, one.face) for one in answer.classified] == list(
        zip(predictions, faces, strict=True)
    )
    (row,) = rows_of(answer)
    assert (row["verdict"], row["faces"], row["face_confidence"]) == ("artificial", 4, 0.9)
    assert [row[f"face_{name}"] for name in ("left", "top", "width", "height")] == [700, 0, 70, 70]
    rows = rows_of(answer, per_face=True)
    assert [(row["score"], row["face_left"]) for row in rows] == [
        (0.2, 900),
        (0.8, 700),
        (0.5, 500),
    ]
    assert [row["face"] for row in rows] == [3, 2, 1]
    assert rows[1] == row
    with pytest.raises(ValueError, match=r"zip\(\)"):
        to_answer(prepared, predictions[:2])


def faces_of(
    *verdicts: tuple[Verdict, float], threshold: FileThreshold = FileThreshold()
) -> Answer:
    faces = [Face(Box(60 * place, 0, 50, 50), 0.9, place + 1) for place in range(len(verdicts))]
    crops = tuple(Crop(PIXELS, face) for face in faces)
    shown = replace(whole(len(faces)), view=FACE_VIEW, crops=crops)
    return to_answer(shown, [predicted(*one) for one in verdicts], threshold)


def test_a_file_of_several_faces_is_held_against_a_threshold_of_its_own() -> None:
    threshold = FileThreshold(0.9, Tail(2.0, 10**6))  # 0.9931 for four
    real, above = (Verdict.REAL, 0.2), (Verdict.ARTIFICIAL, 0.95)
    answer = faces_of(real, above, real, real, threshold=threshold)
    assert (answer.verdict, answer.score) == (Verdict.UNCERTAIN, 0.95)
    told = "score 0.950 of one of 4 faces is below 0.9931, from which a file of so many is artif"
    assert answer.message.startswith(told)
    (row,) = rows_of(answer)
    assert (row["verdict"], row["message"], row["face"]) == ("uncertain", answer.message, 2)
    each = rows_of(answer, per_face=True)
    assert [row["verdict"] for row in each] == ["real", "artificial", "real", "real"]
    assert each[1]["message"] == ""
    sure = faces_of(real, (Verdict.ARTIFICIAL, 0.995), real, real, threshold=threshold)
    assert (sure.verdict, sure.message) == (Verdict.ARTIFICIAL, "")
    assert faces_of(above, threshold=threshold).verdict == Verdict.ARTIFICIAL
    assert faces_of(real, above, real, real).verdict == Verdict.ARTIFICIAL  # no tail is known


def test_a_file_is_real_only_if_every_face_is() -> None:
    real, unsure = (Verdict.REAL, 0.3), (Verdict.UNCERTAIN, 0.1)  # unlike what was trained on
    answer = faces_of(real, unsure, real)
    assert (answer.verdict, answer.score) == (Verdict.UNCERTAIN, 0.1)
    assert faces_of(unsure, (Verdict.ARTIFICIAL, 0.8)).verdict == Verdict.ARTIFICIAL
    unlike = (Verdict.UNCERTAIN, 0.99)
    assert faces_of(unlike, (Verdict.ARTIFICIAL, 0.8)).score == 0.8


def test_without_a_face_or_the_likeness_of_one_there_is_no_answer() -> None:
    logo = replace(predicted(Verdict.ARTIFICIAL, 0.98), kind="cartoon")
    answer = to_answer(whole(0, faint_face=False), [logo])
    assert (answer.status, answer.verdict) == (Status.NO_FACE, None)
    assert answer.message == "no face was found, upright or turned"


def test_a_number_that_is_none_is_an_error() -> None:
    (row,) = rows_of(to_answer(whole(None), [None]))
    assert row["status"] == Status.ERROR
    assert row["message"] == "the model's answer is not a finite number"
    assert row.get("verdict") is None
    faces = (Face(Box(0, 0, 50, 50), 0.9), Face(Box(60, 0, 50, 50), 0.9, 2))
    two = replace(whole(2), crops=tuple(Crop(PIXELS, face) for face in faces), view=FACE_VIEW)
    assert to_answer(two, [predicted(Verdict.REAL, 0.1), None]).status == Status.ERROR


def test_each_row_says_why_its_verdict_is_uncertain() -> None:
    faces = (Face(Box(0, 0, 50, 50), 0.9), Face(Box(60, 0, 50, 50), 0.9, 2))
    prepared = replace(
        whole(2),
        crops=tuple(Crop(PIXELS, face) for face in faces),
        view=FACE_VIEW,
        message="a note",
    )
    unsure = replace(predicted(Verdict.UNCERTAIN, 0.5), reason="between")
    answer = to_answer(prepared, [unsure, predicted(Verdict.REAL, 0.1)])
    assert answer.message == "between; a note"
    rows = rows_of(answer, per_face=True)
    assert [row["message"] for row in rows] == ["between; a note", "a note"]


def test_a_decision_gives_the_verdict_and_leaves_the_score_of_the_pixels() -> None:
    real = predicted(Verdict.REAL, 0.1)
    pixels = to_answer(whole(1), [replace(real, probabilities={"photo": 0.9, "sketch": 0.1})])
    assert pixels.decided(None) is pixels
    answer = pixels.decided(Decision(Verdict.ARTIFICIAL, Basis.KNOWN, reason="known as artificial"))
    (row,) = rows_of(answer)
    names = ("status", "verdict", "kind", "basis", "score", "message")
    assert [row[name] for name in names] == [
        "ok", "artificial", "sketch", "known", 0.1, "known as artificial"
    ]  # fmt: skip
    assert (answer.verdict, answer.kind, answer.basis) == ("artificial", "sketch", "known")
    assert answer.message == row["message"]


@pytest.mark.parametrize("prepared", [whole(0), whole(None)])
def test_a_decision_holds_where_the_pixels_give_no_verdict(prepared: Prepared) -> None:
    answer = to_answer(prepared, [predicted(Verdict.REAL, 0.1) if prepared.faces == 0 else None])
    assert answer.status != Status.OK
    assert answer.basis is None
    decided = answer.decided(Decision(Verdict.REAL, Basis.KNOWN, reason="known as real"))
    (row,) = rows_of(decided)
    assert (row["status"], row["verdict"], row["kind"], row["basis"]) == (
        "ok", "real", "photo", "known"
    )  # fmt: skip
    assert row.get("score") is None
    assert str(row["message"]).startswith("known as real; ")
    assert rows_of(decided, per_face=True) == [row]


GENERATED = Finding(Witness.IPTC, Claim.GENERATED, maker="Dreamer", where="XMP X")
COMPOSITE = Finding(Witness.MARK, Claim.COMPOSITE, "fill", where="XMP Y")
CAPTURE = Finding(Witness.C2PA, Claim.CAPTURE, State.TRUSTED, where="C2PA manifest")


@pytest.mark.parametrize(
    ("findings", "pixels", "expected"),
    [
        ([GENERATED], Verdict.REAL, ("artificial", "generated", "provenance")),
        ([GENERATED], Verdict.ARTIFICIAL, ("artificial", "generated", "provenance")),
        ([COMPOSITE], Verdict.REAL, ("artificial", "composite", "provenance")),
        ([COMPOSITE, GENERATED], Verdict.REAL, ("artificial", "generated", "provenance")),
        ([CAPTURE], Verdict.ARTIFICIAL, ("uncertain", "cartoon", "provenance")),
        ([CAPTURE], Verdict.UNCERTAIN, ("uncertain", "cartoon", "pixels")),
        ([CAPTURE], Verdict.REAL, ("real", "photo", "pixels")),
        ([CAPTURE, GENERATED], Verdict.REAL, ("artificial", "generated", "provenance")),
        ([replace(CAPTURE, name=State.VALID)], Verdict.ARTIFICIAL,
         ("artificial", "cartoon", "pixels")),
        ([replace(CAPTURE, name=State.INVALID)], Verdict.ARTIFICIAL,
         ("artificial", "cartoon", "pixels")),
        ([replace(CAPTURE, name=State.INVALID, claim=Claim.GENERATED), COMPOSITE], Verdict.REAL,
         ("artificial", "composite", "provenance")),
        ([Finding(Witness.EXIF, Claim.CAPTURE)], Verdict.ARTIFICIAL,
         ("artificial", "cartoon", "pixels")),
        ([], Verdict.REAL, ("real", "photo", "pixels")),
    ],
)  # fmt: skip
def test_the_rules_of_evidence(
    findings: list[Finding], pixels: Verdict, expected: tuple[str, str, str]
) -> None:
    score = {"real": 0.1, "uncertain": 0.6, "artificial": 0.9}[pixels]
    prediction = replace(predicted(pixels, score), probabilities={"photo": 0.1, "cartoon": 0.9})
    prepared = replace(whole(1), provenance=collected(findings, []))
    answer = to_answer(prepared, [prediction])
    assert (answer.verdict, answer.kind, answer.basis) == expected
    assert answer.score == score
    if answer.basis == "provenance":
        assert answer.message.endswith(f"by its pixels alone: {pixels}")


def test_a_mark_makes_no_face_where_none_was_found() -> None:
    prepared = replace(whole(0), provenance=collected([GENERATED], []))
    (row,) = rows_of(to_answer(prepared, [predicted(Verdict.REAL, 0.1)]))
    assert (row["status"], row["verdict"], row["basis"]) == ("no_face", None, None)
    assert (row["provenance"], row["generator"]) == ("iptc:generated", "Dreamer")


def test_a_mark_is_about_every_face() -> None:
    faces = [Face(Box(10, 0, 50, 50), 0.9, number) for number in (1, 2)]
    prepared = Prepared(
        ITEM, view=FACE_VIEW, crops=tuple(Crop(PIXELS, face) for face in faces), faces=2,
        largest=faces[0], width=300, height=100, provenance=collected([COMPOSITE], []),
    )  # fmt: skip
    predictions = [predicted(Verdict.REAL, 0.1), predicted(Verdict.ARTIFICIAL, 0.9)]
    rows = rows_of(to_answer(prepared, predictions), per_face=True)
    assert [(row["verdict"], row["kind"]) for row in rows] == [("artificial", "composite")] * 2


def test_a_verdict_by_the_pixels_says_so() -> None:
    (row,) = rows_of(to_answer(whole(1), [predicted(Verdict.REAL, 0.1)]))
    assert row["basis"] == "pixels"
