"""Heat maps as pictures: over what the model saw, and for the rows of a scan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image

from facecheck.core.errors import ImageError
from facecheck.core.labels import Status
from facecheck.model.attribution import heat_maps
from facecheck.scanner.classified_picture import box_of
from facecheck.scanner.classifier import Classifier, load_classifier
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.inputs.named import load_named
from facecheck.scanner.inputs.reach import Reach
from facecheck.scanner.options import FaceOptions
from facecheck.scanner.prepare import Crop
from facecheck.scanner.results.rows import PATH, Row

#: Of equal steps for all eyes, and distinct in grey, too.
COLOURS = "inferno"


def overlay(pixels: npt.NDArray[np.uint8], heat: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Return a crop in grey with its heat over it; the hotter, the less of the crop shows through.

    Args:
        pixels: shape (side, side, 3), RGB.
        heat: shape (side, side), 0 to 1.

    Returns:
        shape (side, side, 3), RGB.
    """
    grey = pixels.mean(axis=2, keepdims=True)
    colour = 255 * colormaps[COLOURS](heat)[:, :, :3]
    share = (0.25 + 0.5 * heat)[:, :, None]
    return np.asarray((1 - share) * grey + share * colour).round().astype(np.uint8)


def heat_pictures(
    rows: Sequence[Row],
    *,
    checkpoint: Path,
    reach: Reach,
    face_detector: Path | None = None,
    device: str = "auto",
) -> Iterator[Image.Image | None]:
    """Yield for each row of a scan what was classified, with the heat over it.

    None comes where there is no verdict, or where the file is gone, or gives another face now.

    Args:
        rows: of a scan; relative names are of the current folder, as for the scan.
        checkpoint: the one it was scanned with.
        reach: which files the rows may name.
        face_detector: the scan's; None takes the cached one, or downloads it.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.

    Raises:
        CheckpointError: the checkpoint or the face detector cannot be used.
        FacecheckError: a face detector is needed, and cannot be had.
    """
    searched = any(row["faces"] is not None for row in rows)
    faces = FaceOptions("auto" if searched else "off", face_detector)
    classifier = load_classifier(checkpoint, faces, device=device)
    for row in rows:
        may_be_read = row["status"] == Status.OK and _is_in_reach(row, reach)
        crop = _crop_of(row, classifier) if may_be_read else None
        if crop is None:
            yield None
        else:
            heat = heat_maps(classifier.predictor, crop.inputs[:1])
            yield Image.fromarray(overlay(crop.inputs[0, 0], heat[0, 0]))


def _is_in_reach(row: Row, reach: Reach) -> bool:
    try:
        reach.check(str(row[PATH]))
    except ImageError:
        return False
    return True


def _item(row: Row) -> Item:
    """Return the item that a row is about; what is wrong with it shows when it is prepared."""
    name = str(row[PATH])
    try:
        found = load_named(name)
    except ImageError:
        found = Path(name)
    if isinstance(found, Path):
        return Item(name, 0, 0, str(found))
    return Item(name, 0, 0, None, _read=lambda: found)


def _crop_of(row: Row, classifier: Classifier) -> Crop | None:
    """Return the crop that the row is about; None where the image has changed since."""
    with_faces = row["faces"] is not None
    prepared = (classifier if with_faces else classifier.without_faces()).prepare(_item(row))
    shown = (prepared.view, prepared.width, prepared.height)
    if shown != tuple(row[name] for name in ("view", "width", "height")):
        return None
    box = box_of(row)
    same = (crop for crop in prepared.crops if (crop.face.box if crop.face else None) == box)
    return next(same, None)
