from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from facecheck.core.errors import UsageError
from facecheck.core.manifest import Manifest, read_manifest, write_manifest
from facecheck.core.record import Record
from facecheck.model.transforms import Transform, load_input
from facecheck.scanner.crop import crop
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.options import CropOptions
from facecheck.scanner.prepare import prepare
from tests.conftest import RealImages
from tests.scanner.conftest import jpeg, pasted

TRANSFORM = Transform.for_size(224, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.fixture
def manifest(real_images: RealImages, tmp_path: Path) -> Path:
    """A close-up, a scene with a small face, an image without a face, and one that is damaged."""
    close, small = real_images("photo/ffhq-256", 2)
    shutil.copy(close, tmp_path / "close.jpg")
    scene = pasted((900, 600), [(small, 500, 200, 200)])
    (tmp_path / "scene.jpg").write_bytes(jpeg(scene))
    Image.new("RGB", (300, 200), "teal").save(tmp_path / "plain.png")
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    names = ["close.jpg", "scene.jpg", "plain.png", "bad.jpg"]
    records = [
        Record(str(tmp_path / name), "album", "photo", sha256=f"{n:064}", split="train")
        for n, name in enumerate(names)
    ]
    frame = Manifest.from_records(records).frame.with_columns(note=pl.lit("mine"))
    write_manifest(Manifest(frame), tmp_path / "m.csv", {})
    return tmp_path / "m.csv"


def test_a_crop_is_what_a_scan_shows_the_model(
    manifest: Path, detector: Path, tmp_path: Path
) -> None:
    result = crop(manifest, CropOptions(out=tmp_path / "faces"))
    assert (result.images, dict(result.views)) == (3, {"whole": 2, "face": 1})
    assert result.without_face == 1
    assert [Path(path).name for path, _ in result.errors] == ["bad.jpg"]
    records = read_manifest(result.manifest)
    assert records.frame["view"].to_list() == ["whole", "face", "whole"]
    for record, original in zip(records.records(), records.frame["cropped_from"], strict=True):
        scanned = prepare(Item("item", 0, 0, original), TRANSFORM, detector)
        shown = load_input(Path(record.path), TRANSFORM)
        assert np.array_equal(shown, scanned.crops[0].inputs[0])


def test_splits_and_own_columns_stay_and_hashes_are_the_crops(
    manifest: Path, tmp_path: Path
) -> None:
    records = read_manifest(crop(manifest, CropOptions(out=tmp_path / "faces")).manifest)
    assert set(records.frame["split"]) == {"train"}
    assert set(records.frame["note"]) == {"mine"}
    one = next(records.records())
    with Image.open(one.path) as image:
        assert (image.width, image.height, image.format) == (one.width, one.height, "PNG")
    assert one.bytes == Path(one.path).stat().st_size
    assert records.frame["sha256"].n_unique() == records.frame["pixel_hash"].n_unique() == 3


def test_an_interrupted_run_resumes(manifest: Path, tmp_path: Path) -> None:
    options = CropOptions(out=tmp_path / "faces")
    before = crop(manifest, options).manifest.read_bytes()
    lost = next((tmp_path / "faces" / "photo" / "album").glob("scene-*.png"))
    lost.unlink()
    (tmp_path / "faces" / "manifest.csv").unlink()
    again = crop(manifest, options)
    assert again.kept == 2
    assert again.manifest.read_bytes() == before


def test_crops_of_another_size_are_made_again(manifest: Path, tmp_path: Path) -> None:
    options = CropOptions(out=tmp_path / "faces")
    crop(manifest, options)
    with pytest.raises(UsageError, match="exists"):
        crop(manifest, CropOptions(out=tmp_path / "faces", size=128))
    small = crop(manifest, CropOptions(out=tmp_path / "faces", size=128, overwrite=True))
    assert small.kept == 0
    assert read_manifest(small.manifest).frame["height"].to_list() == [128, 128, 128]


def test_the_manifest_that_is_read_is_not_written(manifest: Path, tmp_path: Path) -> None:
    other = manifest.rename(tmp_path / "manifest.csv")
    with pytest.raises(UsageError, match="holds the manifest that is read"):
        crop(other, CropOptions(out=tmp_path, overwrite=True))
