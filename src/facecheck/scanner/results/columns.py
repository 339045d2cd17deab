"""The columns of scan's results, and a row's values for them."""

from __future__ import annotations

from collections.abc import Mapping

from facecheck.core.labels import KINDS, Status
from facecheck.scanner.answers import Answer, FaceAnswer
from facecheck.scanner.faces.boxes import Face
from facecheck.scanner.results.rows import Columns, Row, Value

#: In order, with their types; docs/scan-columns.md describes them. They are always the same, so
#: that results of any models and options stack.
COLUMNS: Mapping[str, type] = {
    "path": str,
    "status": str,
    "verdict": str,
    "kind": str,
    "basis": str,
    "provenance": str,
    "generator": str,
    "score": float,
    "spread": float,
    **{f"p_{kind}": float for kind in KINDS},
    "view": str,
    "frame": int,
    "faces": int,
    "face": int,
    "face_left": int,
    "face_top": int,
    "face_width": int,
    "face_height": int,
    "face_confidence": float,
    "width": int,
    "height": int,
    "message": str,
}

#: Those of a scan of images, and behind them what only videos have; docs/video.md describes them.
VIDEO_COLUMNS: Mapping[str, type] = {
    **COLUMNS,
    "track": int,
    "time": float,
    "time_at": float,
    "time_to": float,
    "frames": int,
}


def are_of_videos(columns: Columns) -> bool:
    """Return whether columns are those of results of videos."""
    return {"path", "track", "time"} <= columns.keys()


def rows_of(answer: Answer, *, per_face: bool = False) -> list[Row]:
    """Return an image's rows: one, or with ``per_face`` one for each face that was classified.

    The one row is about the face that decides, with the file's verdict, or about the largest face
    where all are too small; with ``per_face`` each has its own verdict. A row has the values that
    there are.
    """
    top = answer.deciding
    if top is None:
        face = None if answer.status == Status.NO_FACE else answer.largest
        return [_of_image(answer) | _of_verdict(answer, None) | _of_face(face)]
    shown = answer.classified if per_face else (top,)
    return [
        _of_image(answer) | _of_verdict(answer, one) | _of_prediction(one) | _of_face(one.face)
        for one in shown
    ]


def _of_image(answer: Answer) -> dict[str, Value]:
    return {
        "path": answer.name,
        "status": answer.status,
        "provenance": answer.provenance.short,
        "generator": answer.provenance.generator,
        "view": answer.view,
        "frame": answer.frame,
        "faces": answer.faces,
        "width": answer.width,
        "height": answer.height,
    }


def _of_verdict(answer: Answer, one: FaceAnswer | None) -> dict[str, Value]:
    return {
        "verdict": answer.verdict_of(one),
        "kind": answer.kind_of(one),
        "basis": answer.basis,
        "message": answer.message_of(one),
    }


def _of_prediction(one: FaceAnswer) -> dict[str, Value]:
    found = one.prediction
    probabilities = {f"p_{kind}": share for kind, share in found.probabilities.items()}
    return {
        "score": found.score,
        "spread": found.spread,
        **probabilities,
    }


def _of_face(face: Face | None) -> dict[str, Value]:
    if face is None:
        return {}
    return {
        "face": face.number,
        "face_left": face.box.left,
        "face_top": face.box.top,
        "face_width": face.box.width,
        "face_height": face.box.height,
        "face_confidence": face.confidence,
    }
