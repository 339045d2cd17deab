"""From the model's predictions for an image's crops to the answer for the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from facecheck.core.labels import Basis, Kind, Status, Verdict
from facecheck.known.lookup import Match
from facecheck.model.predict import NOT_FINITE, Prediction
from facecheck.model.several_faces import FileThreshold, precise
from facecheck.provenance.evidence import NOTHING, Claim, Finding, Provenance
from facecheck.scanner.faces.boxes import Box, Face
from facecheck.scanner.prepare import Prepared

# Of a file's faces the first of these decides.
_ORDER = (Verdict.REAL, Verdict.UNCERTAIN, Verdict.ARTIFICIAL)


@dataclass(frozen=True)
class FaceAnswer:
    """What the model predicts for one face, or for a whole image.

    Attributes:
        prediction: its verdict, kind, score and probabilities.
        face: where it is; None for a whole image in which no face was found, or searched for.
    """

    prediction: Prediction
    face: Face | None


@dataclass(frozen=True)
class Decision:
    """A verdict on a whole file that rests on something else than its pixels.

    It is the verdict on each of the file's faces. Score and probabilities remain those of the
    pixels, so that a reader sees where the two differ.

    Attributes:
        verdict: ``real``, ``artificial`` or ``uncertain``.
        basis: what it rests on, ``known`` or ``provenance``.
        kind: what the file shows; empty where that is not known, and the most probable kind that
            the verdict allows stands for it.
        reason: why, in a phrase, for the message.
    """

    verdict: Verdict
    basis: Basis
    kind: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Answer:
    """The answer for one image: the same from ``scan``, ``explain`` and ``Checker``.

    Only with status ``ok`` there is a verdict: ``artificial`` if one of n faces reaches the
    threshold for n, else ``uncertain`` if one is not real by itself, else ``real``. Kind, score,
    probabilities, spread and box are those of :attr:`deciding`; :attr:`classified` has every
    face's own verdict, by the thresholds for one face. Where there is a decision, its verdict is
    the file's, and the status is ``ok`` though no face was found or the file cannot be read; there
    is no score then.

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
            image; empty where the pixels give no verdict.
        threshold: up to which score a face is real, and from which a file is artificial, by the
            number of its faces.
        decision: the verdict, where it rests on something else than the pixels.
        provenance: what the file says of its own origin, whatever the status.
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
    threshold: FileThreshold = FileThreshold()
    decision: Decision | None = None
    provenance: Provenance = NOTHING

    def decided(self, decision: Decision | None) -> Answer:
        """Return the answer with a verdict that does not rest on the pixels; None leaves it."""
        if decision is None:
            return self
        return replace(self, status=Status.OK, decision=decision)

    @cached_property
    def deciding(self) -> FaceAnswer | None:
        """The face that the file's verdict is of, with that verdict; None without one.

        An artificial face comes before an uncertain one, that before a real one; then the highest
        score decides, and of equal ones the first.
        """
        seen = [self._in_file(one) for one in self.classified]
        return max(
            seen,
            key=lambda one: (_ORDER.index(one.prediction.verdict), one.prediction.score),
            default=None,
        )

    def _in_file(self, one: FaceAnswer) -> FaceAnswer:
        """Return a face's answer, uncertain where only a file of fewer faces were artificial."""
        found, faces = one.prediction, len(self.classified)
        least = self.threshold.of(faces)
        if found.verdict != Verdict.ARTIFICIAL or found.score >= least:
            return one
        reason = (
            f"score {precise(found.score)} of one of {faces} faces is below {precise(least)}, from "
            "which a file of so many is artificial"
        )
        return replace(one, prediction=replace(found, verdict=Verdict.UNCERTAIN, reason=reason))

    @property
    def message(self) -> str:
        """What is to be said of the image, and why its verdict is ``uncertain``; else empty."""
        return self.message_of(self.deciding)

    @property
    def verdict(self) -> Verdict | None:
        """``real``, ``artificial`` or ``uncertain``; None unless the status is ``ok``."""
        return self.verdict_of(self.deciding)

    @property
    def basis(self) -> Basis | None:
        """What the verdict rests on; None unless the status is ``ok``."""
        if self.decision:
            return self.decision.basis
        return Basis.PIXELS if self.classified else None

    @property
    def kind(self) -> str | None:
        """The kind that is known, or the most probable one; None where there is neither."""
        return self.kind_of(self.deciding)

    def verdict_of(self, one: FaceAnswer | None) -> Verdict | None:
        """Return the verdict on one of :attr:`classified`, or with None on the file."""
        if self.decision:
            return self.decision.verdict
        return None if one is None else one.prediction.verdict

    def kind_of(self, one: FaceAnswer | None) -> str | None:
        """Return the kind of one of :attr:`classified`, or with None that of the file."""
        if self.decision is None:
            return None if one is None else one.prediction.kind
        found = {} if one is None else one.prediction.probabilities
        return self.decision.kind or _most_probable(found, self.decision.verdict)

    def message_of(self, one: FaceAnswer | None) -> str:
        """Return why the verdict is as it is, if that needs words, before the notes on the file."""
        return "; ".join(filter(None, (self.reason_of(one), self.notes)))

    def reason_of(self, one: FaceAnswer | None) -> str:
        """Return why the verdict on one of :attr:`classified` is as it is, if that needs words."""
        if self.decision:
            return self.decision.reason
        return "" if one is None else one.prediction.reason

    @property
    def score(self) -> float | None:
        """Calibrated probability, 0 to 1, of an artificial face; None without a face's own."""
        return None if self._prediction is None else self._prediction.score

    @property
    def probabilities(self) -> Mapping[str, float]:
        """The probability of each kind, summing to 1; empty where there is no score."""
        return {} if self._prediction is None else self._prediction.probabilities

    @property
    def spread(self) -> float | None:
        """How far the score moves over variants, 0 to 1; None where none were classified."""
        return None if self._prediction is None else self._prediction.spread

    @property
    def reason(self) -> str:
        """Why the verdict is ``uncertain``, or does not rest on the pixels; else empty."""
        return self.reason_of(self.deciding)

    @property
    def thresholds(self) -> tuple[float, float]:
        """Up to which score this image is real, and from which it is artificial, 0 to 1."""
        return self.threshold.low, self.threshold.of(max(1, len(self.classified)))

    @property
    def box(self) -> Box | None:
        """Where the face is that the verdict is about, in pixels of the upright image."""
        top = self.deciding
        return top.face.box if top and top.face else None

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Where each face is that was classified, in the order in which one reads."""
        return tuple(one.face.box for one in self.classified if one.face)

    @property
    def _prediction(self) -> Prediction | None:
        top = self.deciding
        return top.prediction if top else None


def _most_probable(probabilities: Mapping[str, float], verdict: Verdict) -> str | None:
    """Return the most probable of the kinds that a verdict allows; None where there is none."""
    if verdict == Verdict.REAL:
        return Kind.PHOTO.value
    allowed = [kind for kind in probabilities if verdict == Verdict.UNCERTAIN or kind != Kind.PHOTO]
    return max(allowed, key=probabilities.__getitem__, default=None)


def to_answer(
    prepared: Prepared,
    predictions: Sequence[Prediction | None],
    threshold: FileThreshold = FileThreshold(),
) -> Answer:
    """Return the answer for an image, by the predictions for its crops.

    Where faces were searched for and none was found, only a drawing, painting or sculpture that
    resembles a face is an answer: these need not convince a detector made for photographs. Anything
    else would be a guess, ``generated`` and ``composite`` too: such faces are found as surely as
    those of photographs are. The status is then ``no_face``.

    Args:
        prepared: the image.
        predictions: one for each of its crops, in their order; None where the model's answer is
            not a finite number, which makes the image an error.
        threshold: from which score a file is artificial, by the number of its faces.
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
    known = prepared.known
    if known and not known.is_exact:
        notes = "; ".join(filter(None, (known.message, notes)))
    answer = Answer(
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
        threshold=threshold,
        provenance=prepared.provenance,
    )
    return answer.decided(_by_provenance(answer)).decided(_by_people(known))


def _by_people(known: Match | None) -> Decision | None:
    """Return what people have decided of a file that is known; a near one decides nothing."""
    if known is None or not known.is_exact:
        return None
    entry = known.entry
    return Decision(Verdict(entry.verdict), Basis.KNOWN, entry.kind, known.message)


def _by_provenance(answer: Answer) -> Decision | None:
    """Return the verdict that a file's own words on its origin give, by docs/provenance.md.

    A file that says it is artificial is, whatever its pixels say. A trusted capture makes
    ``uncertain`` of ``artificial``, but never ``real``: a camera can photograph a screen. Neither
    makes a face of a picture in which none was found.
    """
    if answer.status != Status.OK:
        return None
    marked, capture = answer.provenance.artificial, answer.provenance.trusted_capture
    if marked is not None:
        kind = Kind.COMPOSITE if marked.claim == Claim.COMPOSITE else Kind.GENERATED
        return _decision(Verdict.ARTIFICIAL, marked, answer, kind.value)
    if capture is not None and answer.verdict == Verdict.ARTIFICIAL:
        return _decision(Verdict.UNCERTAIN, capture, answer)
    return None


def _decision(verdict: Verdict, finding: Finding, answer: Answer, kind: str = "") -> Decision:
    says = "a capture, signed and trusted" if finding.claim == Claim.CAPTURE else finding.claim
    by = f" by {finding.maker}" if finding.maker else ""
    reason = (
        f"the file says that it is {says}{by} ({finding.short}, {finding.where}); by its pixels "
        f"alone: {answer.verdict}"
    )
    return Decision(verdict, Basis.PROVENANCE, kind, reason)


def _is_drawn_face(prepared: Prepared, whole: FaceAnswer) -> bool:
    made_by_hand = whole.prediction.verdict == Verdict.ARTIFICIAL and whole.prediction.kind not in {
        Kind.PHOTO,
        Kind.GENERATED,  # which looks like a photograph to a face detector, as does the next
        Kind.COMPOSITE,
    }
    return made_by_hand and prepared.faint_face


def _no_face(notes: str) -> str:
    return "; ".join(filter(None, ("no face was found, upright or turned", notes)))
