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
from facecheck.model.predict import Prediction, Predictor
from facecheck.model.stability import flag_unstable
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
    """

    predictor: Predictor
    prepare: partial[Prepared]
    detector: Path | None = None
    batch_size: int = 32

    def classify(self, item: Item) -> tuple[Prepared, Answer]:
        """Return one picture's crops and its answer; what is wrong with it is its status."""
        prepared = self.prepare(item)
        return prepared, self.answers([prepared])[0]

    def without_faces(self) -> Classifier:
        """Return one that classifies every picture whole."""
        return replace(self, prepare=partial(self.prepare, detector=None), detector=None)

    def answers(self, prepared: Sequence[Prepared]) -> list[Answer]:
        """Return the answers for several pictures, in batches that begin with the first."""
        crops = [crop for one in prepared for crop in one.crops]
        predictions = self._predictions(crops)
        return [to_answer(one, [next(predictions) for _ in one.crops]) for one in prepared]

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
    *,
    device: str = "auto",
    batch_size: int = 32,
) -> Classifier:
    """Load a model and a face detector.

    Args:
        checkpoint: a checkpoint, or an export of one.
        faces: whether to find faces, and by what.
        classify: thresholds, and how many variants to classify.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        batch_size: images that the model is given at a time, 1 or more.

    Raises:
        UsageError: the checkpoint does not know the budget, or there is no such device or file.
        CheckpointError: the checkpoint or the face detector cannot be used.
        FacecheckError: faces are to be found, and OpenCV is not installed.
    """
    predictor = load_predictor(checkpoint, device)
    thresholds = _thresholds(predictor, classify)
    predictor.header = replace(predictor.header, thresholds=thresholds)
    detector = find_detector(faces.face_detector) if faces.faces == "auto" else None
    return Classifier(
        predictor=predictor,
        prepare=partial(
            prepare,
            transform=predictor.header.transform,
            detector=None if detector is None else detector.read_bytes(),
            stability=classify.stability,
        ),
        detector=detector,
        batch_size=batch_size,
    )


def _thresholds(predictor: Predictor, options: ClassifyOptions) -> tuple[float, float]:
    if options.threshold is not None:
        return options.threshold, options.threshold
    if options.budget is None:
        return predictor.header.thresholds
    known = predictor.header.calibration.get("budgets", {})
    if f"{options.budget:g}" not in known:
        has = f"knows {', '.join(known)}" if known else "knows none: run `facecheck calibrate`"
        raise UsageError(f"--budget {options.budget:g}: the checkpoint {has}")
    low, high = known[f"{options.budget:g}"]
    return low, high
