"""The columns of scan's results, and a row's values for them."""

from __future__ import annotations

from collections.abc import Mapping

from facecheck.core.labels import KINDS
from facecheck.scanner.prepare import Answer
from facecheck.scanner.results.rows import Row, Value

#: In order, with their types; docs/scan-columns.md describes them. They are always the same, so
#: that results of any models and options stack.
COLUMNS: Mapping[str, type] = {
    "path": str,
    "status": str,
    "verdict": str,
    "kind": str,
    "score": float,
    "spread": float,
    **{f"p_{kind}": float for kind in KINDS},
    "view": str,
    "faces": int,
    "face_left": int,
    "face_top": int,
    "face_width": int,
    "face_height": int,
    "face_confidence": float,
    "width": int,
    "height": int,
    "message": str,
}


def row_of(answer: Answer) -> Row:
    """Return the values of one row, those that it has."""
    row: dict[str, Value] = {
        "path": answer.name,
        "status": answer.status,
        "view": answer.view,
        "faces": answer.faces,
        "width": answer.width,
        "height": answer.height,
        "message": answer.message,
    }
    if answer.verdict is not None:
        verdict = answer.verdict
        row |= {"verdict": verdict.verdict, "kind": verdict.kind, "score": verdict.score}
        row |= {"spread": verdict.spread}
        row |= {f"p_{kind}": share for kind, share in verdict.probabilities.items()}
    if answer.face is not None:
        box = answer.face.box
        row |= {"face_left": box.left, "face_top": box.top}
        row |= {"face_width": box.width, "face_height": box.height}
        row |= {"face_confidence": answer.face.confidence}
    return row
