"""From the model's predictions for an image's crops to the answer for the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from facecheck.core.labels import Kind, Status, Verdict
from facecheck.model.predict import NOT_FINITE, Prediction
from facecheck.scanner.faces.boxes import Box, Face
from facecheck.scanner.prepare import Prepared


@dataclass(frozen=True)
class FaceAnswer:
    """What the model predicts for one face, or for a whole image.

    Attributes:
        prediction: its verdict, kind, score and probabilities.
        face: where it is; None for a whole image in which no face was found, or searched for.
    """

    prediction: Prediction
    face: Face | None

    def message(self, notes: str) -> str:
        """Return why the verdict is ``uncertain``, before the notes on the image."""
        return "; ".join(filter(None, (self.prediction.reason, notes)))


@dataclass(frozen=True)
class Answer:
    """The answer for one image: the same from ``scan``, ``explain`` and ``Checker``.

    Only with status ``ok`` there is a verdict. It is that of the most artificial face, as are
    kind, score, probabilities, spread and box; :attr:`classified` has every face's own.

    Attributes:
        name: what the image is called in a row of a scan.
        status: ``ok``, ``no_face``, ``too_small`` or ``error``.
        notes: why there is an error or no face, how small the faces are, and what a user should
            know of the file.
        view: what was classified: ``face``, the square around each face, or ``whole``, the image;
            empty unless the status is ``ok``.
        faces: how many faces were found, those included that are too small or too many to be
            classified; None when none were searched for, or the image cannot be read.
        largest: the largest of them.
        frame: which frame or page of a file that holds several, from 1; else None.
        width: pixels across of the upright image; None when it cannot be read.
        height: pixels down, likewise.
        classified: each face that was classified, in the order in which one reads, or the whole
            image; empty unless the status is ``ok``.
    """

    name: str
    status: Status
    notes: str = ""
    view: str = ""
    faces: int | None = None
    largest: Face | None = None
    frame: int | None = None
    width: int | None = None
    height: int | None = None
    classified: tuple[FaceAnswer, ...] = ()

    @property
    def most_artificial(self) -> FaceAnswer | None:
        """The face of the highest score, of equal ones the first; None without a verdict."""
        return max(self.classified, key=lambda one: one.prediction.score, default=None)

    @property
    def message(self) -> str:
        """What is to be said of the image, and why its verdict is ``uncertain``; else empty."""
        top = self.most_artificial
        return top.message(self.notes) if top else self.notes

    @property
    def verdict(self) -> Verdict | None:
        """``real``, ``artificial`` or ``uncertain``; None unless the status is ``ok``."""
        return None if self._prediction is None else self._prediction.verdict

    @property
    def kind(self) -> str | None:
        """The most probable kind; None unless the status is ``ok``."""
        return None if self._prediction is None else self._prediction.kind

    @property
    def score(self) -> float | None:
        """Calibrated probability, 0 to 1, of an artificial face; None unless the status is ok."""
        return None if self._prediction is None else self._prediction.score

    @property
    def probabilities(self) -> Mapping[str, float]:
        """The probability of each kind, summing to 1; empty unless the status is ``ok``."""
        return {} if self._prediction is None else self._prediction.probabilities

    @property
    def spread(self) -> float | None:
        """How far the score moves over variants, 0 to 1; None where none were classified."""
        return None if self._prediction is None else self._prediction.spread

    @property
    def box(self) -> Box | None:
        """Where the face is that the verdict is about, in pixels of the upright image."""
        top = self.most_artificial
        return top.face.box if top and top.face else None

    @property
    def _prediction(self) -> Prediction | None:
        top = self.most_artificial
        return top.prediction if top else None


def to_answer(prepared: Prepared, predictions: Sequence[Prediction | None]) -> Answer:
    """Return the answer for an image, by the predictions for its crops.

    Where faces were searched for and none was found, only a drawing, painting or sculpture that
    resembles a face is an answer: these need not convince a detector made for photographs. Anything
    else would be a guess, ``generated`` and ``composite`` too: such faces are found as surely as
    those of photographs are. The status is then ``no_face``.

    Args:
        prepared: the image.
        predictions: one for each of its crops, in their order; None where the model's answer is
            not a finite number, which makes the image an error.
    """
    status, notes = prepared.status, prepared.message
    classified = tuple(
        FaceAnswer(prediction, crop.face)
        for crop, prediction in zip(prepared.crops, predictions, strict=True)
        if prediction is not None
    )
    if len(classified) < len(predictions):
        status, notes, classified = Status.ERROR, NOT_FINITE, ()
    elif classified and prepared.faces == 0 and not _is_drawn_face(prepared, classified[0]):
        status, notes, classified = Status.NO_FACE, _no_face(notes), ()
    return Answer(
        name=prepared.item.name,
        status=status,
        notes=notes,
        view=prepared.view if classified else "",
        faces=prepared.faces,
        largest=prepared.largest,
        frame=prepared.frame,
        width=prepared.width,
        height=prepared.height,
        classified=classified,
    )


def _is_drawn_face(prepared: Prepared, whole: FaceAnswer) -> bool:
    made_by_hand = whole.prediction.verdict == Verdict.ARTIFICIAL and whole.prediction.kind not in {
        Kind.PHOTO,
        Kind.GENERATED,  # which looks like a photograph to a face detector, as does the next
        Kind.COMPOSITE,
    }
    return made_by_hand and prepared.faint_face


def _no_face(notes: str) -> str:
    return "; ".join(filter(None, ("no face was found, upright or turned", notes)))
