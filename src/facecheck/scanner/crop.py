"""crop: a manifest's faces as files, cut out as a scan cuts them, to train on what a scan shows."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from facecheck.core.errors import ImageError, UsageError
from facecheck.core.files import atomic_path, path_text, refuse_to_overwrite
from facecheck.core.image import DECODE_POLICY, decode, perceptual_hash, pixel_hash
from facecheck.core.lock import only_one
from facecheck.core.manifest import Manifest, is_made_by, made_from, read_manifest, write_manifest
from facecheck.core.parallel import Progress, cpu_count, map_ordered, silent
from facecheck.model.transforms import Transform
from facecheck.scanner.faces.detector import find_detector
from facecheck.scanner.options import CropOptions
from facecheck.scanner.prepare import Largest, largest_face

#: The manifest's name in the folder of crops.
CROPS = "manifest.csv"
#: Of the record that a crop was made of.
_FROM = "cropped_from"
#: What a crop's PNG says of how it was made.
_MADE_OF = "facecheck-crop"


@dataclass(frozen=True)
class CropResult:
    """What ``crop`` did.

    Attributes:
        manifest: of the crops: the records of the one read, in its order, with the crops' paths,
            hashes and sizes, and the columns ``cropped_from``, ``view`` and ``faces``.
        images: crops in it.
        views: how many are of one ``face``, and how many show the image ``whole``: close-ups, and
            images in which no face was found.
        without_face: images in which none was found, among the ``whole`` ones.
        kept: crops that an earlier run had made.
        errors: (path, reason) of images that could not be decoded; they are left out.
    """

    manifest: Path
    images: int
    views: Mapping[str, int]
    without_face: int
    kept: int
    errors: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Made:
    """One crop's row in the new manifest, or why there is none."""

    row: Mapping[str, object]
    is_new: bool = False
    error: str = ""


def crop(
    manifest: Path, options: CropOptions = CropOptions(), *, progress: Progress = silent
) -> CropResult:
    """Cut out the largest face of every record, as PNG, and write a manifest of the crops.

    Splits, groups, exclusions and a user's own columns stay. What a scan would classify whole
    (close-ups, images without a face) is only scaled. A model that is trained on the crops sees
    the very pixels that a scan will show it. Interrupted, the same command resumes: a crop that is
    there, and was made of the same bytes at the same size, is kept.

    Args:
        manifest: a manifest by ``index``.
        options: where the crops go, their size, and the face detector.
        progress: called with images done and images in all.

    Raises:
        UsageError: the manifest is not there, or the folder holds another one's crops.
        ManifestError: the manifest cannot be read.
        CheckpointError: the face detector cannot be used.
        FacecheckError: OpenCV is missing, or another process writes into the folder.
    """
    records = read_manifest(manifest)
    out = options.out / CROPS
    made_by = made_from(manifest, out, "crop", {"size": options.size})
    if not is_made_by(out, made_by):
        refuse_to_overwrite(out, overwrite=options.overwrite)
    if out.resolve() == manifest.resolve():
        raise UsageError(f"--out {path_text(options.out)}: holds the manifest that is read")
    detector = find_detector(options.face_detector).read_bytes()
    transform = Transform(16, options.size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    rows = records.frame.to_dicts()

    named = hashlib.sha256(detector).hexdigest()[:16]

    def make(row: Mapping[str, object]) -> _Made:
        return _make(row, options.out, transform, detector, named)

    made: list[_Made] = []
    with only_one(options.out, "crop", inside=False):
        workers = options.workers or cpu_count()
        for one in map_ordered(make, rows, workers=workers, ahead=4 * workers):
            made.append(one)
            progress(len(made), len(rows))
        kept = [one for one in made if not one.error]
        schema: dict[str, Any] = {
            **records.frame.schema,
            _FROM: pl.String,
            "view": pl.String,
            "faces": pl.Int64,
        }
        frame = pl.DataFrame([one.row for one in kept], schema=schema)
        write_manifest(Manifest(frame), out, {**made_by, "decode_policy": DECODE_POLICY})
    return CropResult(
        manifest=out,
        images=len(kept),
        views=Counter(str(one.row["view"]) for one in kept),
        without_face=sum(one.row["faces"] == 0 for one in kept),
        kept=sum(not one.is_new for one in kept),
        errors=tuple((str(one.row["path"]), one.error) for one in made if one.error),
    )


def _make(
    row: Mapping[str, object], folder: Path, transform: Transform, detector: bytes, named: str
) -> _Made:
    source, made_of = Path(str(row["path"])), _made_of(row, transform.resize, named)
    target = folder / str(row["kind"]) / str(row["source"]) / f"{_name(row)}.png"
    try:
        kept = _kept(target, made_of)
        made = kept or _written(target, largest_face(source, transform, detector), made_of)
        image = decode(made.content).image
    except (ImageError, OSError) as error:
        return _Made(row, error=str(error))
    facts = {
        "path": str(target.absolute()),
        "sha256": hashlib.sha256(made.content).hexdigest(),
        "pixel_hash": pixel_hash(image),
        "phash": perceptual_hash(image),
        "width": image.width,
        "height": image.height,
        "format": "PNG",
        "bytes": len(made.content),
        _FROM: str(source),
        "view": made.view,
        "faces": made.faces,
    }
    return _Made({**row, **facts}, is_new=kept is None)


def _name(row: Mapping[str, object]) -> str:
    """Return a crop's name: its original's, and some of the digest, since names may repeat."""
    return f"{Path(str(row['path'])).stem[:100]}-{str(row['sha256'])[:12]}"


@dataclass(frozen=True)
class _Crop:
    """A crop's file, and what is written in it of how it was made."""

    content: bytes
    view: str
    faces: int


def _made_of(row: Mapping[str, object], size: int, detector: str) -> str:
    """Return what a crop depends on, as its file says it."""
    return f"{row['sha256']} {size} {DECODE_POLICY} {detector}"


def _written(target: Path, face: Largest, made_of: str) -> _Crop:
    info = PngInfo()
    for key, text in ((_MADE_OF, made_of), ("view", face.view), ("faces", str(face.faces))):
        info.add_text(key, text)
    stream = io.BytesIO()
    face.image.save(stream, "PNG", compress_level=1, pnginfo=info)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as temporary:
        temporary.write_bytes(stream.getvalue())
    return _Crop(stream.getvalue(), face.view, face.faces)


def _kept(target: Path, made_of: str) -> _Crop | None:
    """Return the crop that an earlier run has made, or None where it must be made."""
    try:
        content = target.read_bytes()
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            said = {str(key): str(text) for key, text in image.info.items()}
        if said.get(_MADE_OF) != made_of:
            return None
        return _Crop(content, said["view"], int(said["faces"]))
    except (OSError, KeyError, ValueError, SyntaxError):
        return None
