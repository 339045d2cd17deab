"""The one way from a picture to its answer, for scan, explain, Checker and attribution maps.

A picture is prepared (decoded, its faces found and cut out: :mod:`~facecheck.scanner.prepare`), the
model predicts for every crop, and thresholds, out-of-distribution detector and stability decide
(:mod:`~facecheck.model.predict`, :mod:`~facecheck.model.stability`); the predictions become the
picture's answer (:mod:`~facecheck.scanner.answers`). A scan does the first part in processes of
their own and the second for many pictures at a time, on this machine or on others; both parts are
the ones of this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from facecheck.core.errors import UsageError
from facecheck.core.parallel import chunked
from facecheck.engines.load import load_predictor
from facecheck.known.lookup import KnownTable, open_known
from facecheck.known.options import KnownOptions
from facecheck.model.checkpoint import Header
from facecheck.model.predict import Prediction, Predictor
from facecheck.model.several_faces import SEVERAL_FACES, file_threshold
from facecheck.model.stability import flag_unstable
from facecheck.provenance.options import ProvenanceOptions
from facecheck.provenance.read import load_evidence
from facecheck.scanner.answers import Answer, to_answer
from facecheck.scanner.faces.detector import find_detector
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.options import ClassifyOptions, FaceOptions
from facecheck.scanner.prepare import Crop, Prepared, prepare


@dataclass(frozen=True)
class Classifier:
    """A model and a face detector, ready to classify pictures.

    Attributes:
        predictor: the model, with the thresholds that were chosen.
        prepare: decodes a picture and cuts its faces out; may be sent to other processes.
        detector: the face detector's file; None classifies every picture whole.
        batch_size: images that the model is given at a time.
        known: the table of known files that is consulted.
    """

    predictor: Predictor
    prepare: partial[Prepared]
    detector: Path | None = None
    batch_size: int = 32
    known: KnownTable | None = None

    def classify(self, item: Item) -> tuple[Prepared, Answer]:
        """Return one picture's crops and its answer; what is wrong with it is its status."""
        prepared = self.prepare(item)
        return prepared, self.answers([prepared])[0]

    @property
    def prepare_without_manifests(self) -> partial[Prepared] | None:
        """Prepares a picture without reading its C2PA manifest; None where none is read anyway."""
        evidence = self.prepare.keywords.get("evidence")
        if evidence is None:
            return None
        return partial(self.prepare, evidence=replace(evidence, manifests=False))

    def without_faces(self) -> Classifier:
        """Return one that classifies every picture whole."""
        return replace(self, prepare=partial(self.prepare, detector=None), detector=None)

    def answers(self, prepared: Sequence[Prepared]) -> list[Answer]:
        """Return the answers for several pictures, in batches that begin with the first."""
        crops = [crop for one in prepared for crop in one.crops]
        predictions = self._predictions(crops)
        threshold = file_threshold(self.predictor.header)
        return [
            to_answer(one, [next(predictions) for _ in one.crops], threshold) for one in prepared
        ]

    def _predictions(self, crops: Sequence[Crop]) -> Iterator[Prediction | None]:
        """Yield a prediction for each crop, uncertain where those for its variants disagree."""
        inputs = [pixels for crop in crops for pixels in crop.inputs]
        batches = (np.stack(batch) for batch in chunked(inputs, self.batch_size))
        found = self.predictor.all_predictions(batches)
        for crop in crops:
            own = [next(found) for _ in crop.inputs]
            known = [one for one in own if one is not None]
            yield flag_unstable(known) if len(known) == len(own) else None


def load_classifier(
    checkpoint: Path,
    faces: FaceOptions = FaceOptions(),
    classify: ClassifyOptions = ClassifyOptions(),
    known: KnownOptions = KnownOptions(),
    provenance: ProvenanceOptions = ProvenanceOptions(),
    *,
    device: str = "auto",
    batch_size: int = 32,
) -> Classifier:
    """Load a model and a face detector.

    Args:
        checkpoint: a checkpoint, or an export of one.
        faces: whether to find faces, and by what.
        classify: thresholds, and how many variants to classify.
        known: the table of known files to consult.
        provenance: whether what files say of their own origin counts.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        batch_size: images that the model is given at a time, 1 or more.

    Raises:
        UsageError: the checkpoint does not know the budget, or there is no such device or file.
        CheckpointError: the checkpoint or the face detector cannot be used.
        ConfigError: the trusted certificates or the marks cannot be read.
        FacecheckError: faces are to be found, and OpenCV is not installed; or the table of known
            files cannot be used.
    """
    table = None if known.known is None else open_known(known.known)
    predictor = load_predictor(checkpoint, device)
    predictor.header = _chosen(predictor.header, classify)
    file_threshold(predictor.header)  # what cannot be used is to be known before the first image
    detector = find_detector(faces.face_detector) if faces.faces == "auto" else None
    return Classifier(
        predictor=predictor,
        prepare=partial(
            prepare,
            transform=predictor.header.transform,
            detector=None if detector is None else detector.read_bytes(),
            stability=classify.stability,
            known=table,
            evidence=load_evidence(provenance) if provenance.provenance == "on" else None,
        ),
        detector=detector,
        batch_size=batch_size,
        known=table,
    )


def _chosen(header: Header, options: ClassifyOptions) -> Header:
    """Return the header with the thresholds that the user chose.

    A threshold that the user names holds for faces and files as it is.
    """
    if options.threshold is None:
        return replace(header, thresholds=_thresholds(header, options))
    without = {name: one for name, one in header.calibration.items() if name != SEVERAL_FACES}
    both = (options.threshold, options.threshold)
    return replace(header, thresholds=both, calibration=without)


def _thresholds(header: Header, options: ClassifyOptions) -> tuple[float, float]:
    if options.budget is None:
        return header.thresholds
    known = header.calibration.get("budgets", {})
    if f"{options.budget:g}" not in known:
        calibrate = f"`facecheck calibrate RUN --budget {options.budget:g}`"
        raise UsageError(
            f"--budget {options.budget:g}: the model was calibrated for {', '.join(known)}: pass "
            f"one of these, or run {calibrate}"
            if known
            else f"--budget {options.budget:g}: the model is not calibrated: run {calibrate}"
        )
    low, high = known[f"{options.budget:g}"]
    return low, high
