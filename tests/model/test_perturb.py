from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facecheck.core.image import decode
from facecheck.model.perturb import (
    CLEAN,
    LINES,
    PERTURBATIONS,
    FileFormat,
    encode,
    read_format,
    reals_format,
    save_as_a_real,
    shrunk,
)
from tests.conftest import RealImages


@pytest.fixture
def face(drawn: Path) -> Image.Image:
    return decode(drawn / "photo" / "drawn-photo" / "000.png").image


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_every_perturbation_is_in_one_line() -> None:
    listed = [name for names in LINES.values() for name in names]
    assert sorted(listed) == sorted([CLEAN, *PERTURBATIONS])


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_perturbation_is_what_its_name_says_every_time(face: Image.Image, name: str) -> None:
    data = PERTURBATIONS[name](face)
    assert PERTURBATIONS[name](face) == data
    change, _, amount = name.partition(" ")
    sizes = {"resize": float(amount or 1), "reupload": 0.98}
    factor = sizes.get(change, 1) if change in sizes else 1
    assert opened(data).width == pytest.approx(face.width * factor, abs=1)
    formats = {"jpeg": "JPEG", "webp": "WEBP", "reupload": "WEBP"}
    assert opened(data).format == formats.get(change, "BMP")
    if change not in sizes:
        before, after = (np.asarray(image, float) for image in (face, decode(data).image))
        assert 0 < np.abs(before - after).mean() < 20


def test_more_of_a_perturbation_changes_more(face: Image.Image) -> None:
    before = np.asarray(face, float)

    def change(name: str) -> float:
        after = decode(PERTURBATIONS[name](face)).image
        return float(np.abs(np.asarray(after, float) - before).mean())

    qualities = [change(f"jpeg {quality}") for quality in (95, 75, 60, 40)]
    assert qualities == sorted(qualities)
    assert change("blur 1") < change("blur 2")


def test_a_blur_is_as_strong_on_small_images_as_on_large(face: Image.Image) -> None:
    large = face.resize((384, 384), Image.Resampling.BICUBIC)
    small = decode(PERTURBATIONS["blur 2"](face)).image
    again = decode(PERTURBATIONS["blur 2"](large)).image.resize(face.size, Image.Resampling.BOX)
    difference = np.abs(np.asarray(small, float) - np.asarray(again, float)).mean()
    assert difference < np.abs(np.asarray(small, float) - np.asarray(face, float)).mean() / 2


def test_a_large_picture_is_uploaded_small(face: Image.Image) -> None:
    wide = face.resize((1600, 800))
    assert opened(PERTURBATIONS["reupload"](wide)).size == (706, 352)


def test_faces_are_shrunk_but_never_enlarged(face: Image.Image) -> None:
    small = shrunk(face.resize((120, 96)), 64)
    assert small is not None
    assert opened(small).size == (80, 64)
    assert shrunk(face, 97) is None


def test_what_was_beside_the_pixels_is_left_behind(face: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    face.save(tmp_path / "turned.jpg", exif=exif)
    upright = decode(tmp_path / "turned.jpg").image
    for change in PERTURBATIONS.values():
        assert not opened(change(upright)).getexif()
    with Image.open(tmp_path / "turned.jpg") as raw:
        assert not opened(encode(raw, "JPEG")).getexif()


def test_an_artificial_face_is_stored_exactly_as_a_real_one(face: Image.Image) -> None:
    reals = []
    for quality, subsampling, progressive in ((83, 0, False), (61, 2, True), (90, 1, False)):
        data = encode(
            face.resize((100 + quality, 120)),
            "JPEG",
            quality=quality,
            subsampling=subsampling,
            progressive=progressive,
        )
        reals.append(read_format(data))
    assert [real.subsampling for real in reals] == [0, 2, 1]
    assert len({real.tables for real in reals}) == 3
    reals += [read_format(encode(face, "PNG")), read_format(encode(face, "WEBP"))]
    drawn = set()
    for number in range(40):
        data = save_as_a_real(face, reals, str(number).encode())
        assert data == save_as_a_real(face, reals, str(number).encode())
        stored = read_format(data)
        assert stored in reals
        drawn.add(stored)
    assert drawn == set(reals)


def test_the_reals_mix_is_read_from_their_files(drawn: Path, tmp_path: Path) -> None:
    photos = sorted((drawn / "photo").rglob("*.png"))[:2]
    (tmp_path / "bad.jpg").write_text("no image")
    found = reals_format([*photos, tmp_path / "bad.jpg", tmp_path / "nothing.jpg"])
    assert found == (FileFormat("PNG", 96, 96), FileFormat("PNG", 96, 96))


def test_the_shared_photos_keep_their_tables(real_images: RealImages) -> None:
    generated = real_images("generated/portraits-512/", 3)
    reals = reals_format(real_images("photo/ffhq-256/", 3))
    assert {(real.width, real.height, real.format) for real in reals} == {(256, 256, "JPEG")}
    for path in generated:
        data = path.read_bytes()
        assert read_format(save_as_a_real(decode(data).image, reals, data)) in reals
