from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.image import decode
from facecheck.core.manifest import Manifest, write_manifest
from facecheck.core.record import Record
from facecheck.data.audit import Guess, audit, normalise_yaml, shortcut
from facecheck.data.features import (
    METADATA,
    PIXELS,
    jpeg_quality,
    measure_features,
    normalise,
    sharpness,
)
from facecheck.data.options import AuditOptions, Normalise
from facecheck.training.recipe import load_recipe

pytest.importorskip("sklearn")

#: As `generate sample` writes it.
SYNTHETIC = "Synthetic image: made by a trained generative model."


@pytest.fixture(autouse=True)
def small_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant few trees, so that the tests are quick."""
    monkeypatch.setattr("facecheck.data.audit._TREES", 8)


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def noise(seed: int, side: int = 32) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("quality", [25, 40, 75, 95])
def test_the_header_tells_quality_and_sampling(quality: int) -> None:
    data = encoded(noise(0), "JPEG", quality=quality, subsampling=1)
    told = dict(zip(METADATA, measure_features(data).metadata, strict=True))
    assert told["JPEG quality"] == pytest.approx(quality, abs=1)
    assert told["format JPEG"] == told["subsampling 4:2:2"] == told["mode RGB"] == 1
    assert told["format PNG"] == told["subsampling 4:4:4"] == told["EXIF"] == 0
    assert told["bytes per pixel"] == pytest.approx(len(data) / 32**2)


def test_other_formats_have_no_jpeg_features() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a face"
    told = dict(
        zip(
            METADATA,
            measure_features(encoded(noise(0).convert("P"), "PNG", exif=exif)).metadata,
            strict=True,
        )
    )
    assert told["JPEG quality"] == told["subsampling none"] == 0
    assert told["EXIF"] == told["mode P"] == told["format PNG"] == 1


def test_crude_pixels() -> None:
    grey = dict(
        zip(PIXELS, measure_features(encoded(noise(0).convert("L"), "PNG")).pixels, strict=True)
    )
    assert grey["grey"] == 1
    flat = Image.new("RGB", (20, 10), (10, 20, 30))
    told = dict(zip(PIXELS, measure_features(encoded(flat, "PNG")).pixels, strict=True))
    assert (told["mean red"], told["mean blue"], told["colourfulness"]) == (10, 30, 20)
    assert told["grey"] == told["log sharpness"] == 0
    assert sharpness(np.zeros((2, 9), np.float32)) == 0
    assert jpeg_quality(0) == 100


def test_what_is_normalised_has_one_size_no_exif_and_is_repeatable() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a face"
    image = decode(encoded(noise(0, 64).resize((90, 64)), "JPEG", exif=exif)).image
    formats = set()
    for seed in range(8):
        data = normalise(image, Normalise(size=48), bytes([seed]))
        assert data == normalise(image, Normalise(size=48), bytes([seed]))
        told = dict(zip(METADATA, measure_features(data).metadata, strict=True))
        assert (told["width"], told["height"], told["EXIF"]) == (48, 48, 0)
        formats.add(decode(data).format)
    assert formats == {"JPEG", "WEBP"}


def test_the_strongest_cue_is_named_in_words() -> None:
    values = np.zeros((40, len(METADATA)), np.float32)
    values[20:, METADATA.index("format PNG")] = 1
    values[20:, METADATA.index("width")] = 200
    sides = np.array(["photo/a"] * 20 + ["cartoon/b"] * 20)
    told, accuracy = shortcut(METADATA, values, sides)
    assert told == "format alone: cartoon/b is 100 % PNG, photo/a is 0 % PNG"
    assert accuracy == 1
    values[:, METADATA.index("format PNG")] = 0
    told, _ = shortcut(METADATA, values, sides)
    assert told == "width alone: at most 100 in 0 % of cartoon/b, 100 % of photo/a"
    assert shortcut(METADATA, values * 0, sides) == ("no single feature does", 0.5)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Noise: two sources that only their formats tell apart, and a twin of the first."""
    rows = []
    layout = (("photo", "a", "JPEG"), ("generated", "twin", "JPEG"), ("cartoon", "b", "PNG"))
    for place, (kind, source, file_format) in enumerate(layout):
        for number in range(40):
            path = tmp_path / f"{source}-{number}.img"
            path.write_bytes(encoded(noise(100 * place + number), file_format))
            rows.append(Record(str(path), source, kind, sha256=f"{source}{number}"))
    write_manifest(Manifest.from_records(rows), tmp_path / "m.csv", {})
    return tmp_path / "m.csv"


def guess_at(guesses: tuple[Guess, ...], question: str, features: str) -> Guess:
    return next(g for g in guesses if (g.question, g.features) == (question, features))


@pytest.mark.slow
def test_shortcuts_are_found_where_they_are_and_gone_once_normalised(manifest: Path) -> None:
    result = audit(manifest, AuditOptions(fix=Normalise(size=32)))
    told = guess_at(result.guesses, "photo/a or cartoon/b", "metadata")
    assert told.balanced_accuracy == told.auc == told.shortcut_accuracy == 1
    assert "format alone: cartoon/b is 0 % JPEG, photo/a is 100 % JPEG" in result.warnings[0]
    twin = guess_at(result.guesses, "photo/a or generated/twin", "metadata")
    assert 0.25 < twin.balanced_accuracy < 0.75
    assert guess_at(result.guesses, "kind", "metadata").sides == 3
    after = guess_at(result.normalised, "photo/a or cartoon/b", "metadata")
    assert after.balanced_accuracy < 0.75
    assert result.recipe is not None
    recipe = load_recipe(result.recipe)
    assert recipe.image_size == 32
    assert (recipe.reencode, recipe.reencode_quality) == (1, (40, 95))
    assert (recipe.blur, recipe.blur_sigma) == (1, (0, 14))
    report = json.loads(result.report.read_text())
    assert report["by_source"]["photo/a"] == 40
    assert len(report["guesses"]) == len(result.guesses)
    with pytest.raises(UsageError, match="pass --overwrite"):
        audit(manifest, AuditOptions(fix=Normalise()))


@pytest.mark.slow
def test_the_order_of_the_file_does_not_matter(manifest: Path) -> None:
    first = audit(manifest, AuditOptions(per_source=25))
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    again = audit(manifest, AuditOptions(per_source=25))
    assert again.guesses == first.guesses
    assert first.images == 75


@pytest.mark.slow
def test_vanished_and_broken_files_are_told_and_left_out(manifest: Path) -> None:
    (manifest.parent / "a-0.img").unlink()
    (manifest.parent / "b-0.img").write_text("text")
    result = audit(manifest)
    assert result.images == 118
    assert {Path(path).name: reason for path, reason in result.errors} == {
        "a-0.img": "No such file or directory",
        "b-0.img": "a text file, not an image",
    }


@pytest.mark.slow
def test_files_that_say_what_they_are_are_a_shortcut_too(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    rows = []
    for number in range(40):
        info, kind = PngInfo(), "generated" if number % 2 else "photo"
        info.add_text("Description" if number % 4 == 1 else "Comment", SYNTHETIC)
        path = tmp_path / f"{number}.png"
        path.write_bytes(encoded(noise(number), "PNG", pnginfo=info))
        rows.append(Record(str(path), "s", kind, sha256=str(number)))
    write_manifest(Manifest.from_records(rows), tmp_path / "m.csv", {})
    result = audit(tmp_path / "m.csv")
    found = guess_at(result.guesses, "real or artificial", "provenance")
    assert found.balanced_accuracy == 0.75  # half of the generated ones are marked
    assert found.shortcut == (
        "provenance alone: artificial is 50 % marked as generated, real is 0 % marked as generated"
    )
    said = command("audit", tmp_path / "m.csv").out
    assert "their own origin alone: kind 75.0 % (chance 50.0 %), real or artificial 75.0 %" in said


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    (tmp_path / "a.png").write_bytes(encoded(noise(0), "PNG"))
    write_manifest(Manifest.from_records([Record(str(tmp_path / "a.png"), "s", "photo")]), path, {})
    with pytest.raises(FacecheckError, match="nothing to distinguish"):
        audit(path)


@pytest.mark.slow
def test_the_command(command, manifest: Path) -> None:  # type: ignore[no-untyped-def]
    done = command("audit", "m.csv", "--fix", "normalise", "--out", "n.yaml", "--warn-above", "0.9")
    assert done.code == 0
    assert "metadata fixed" in done.out
    assert "format alone" in done.out
    assert (manifest.parent / "n.yaml").read_text() == normalise_yaml(Normalise())
    told = json.loads(command("audit", "m.csv", "--json").out)
    assert list(told) == [
        "manifest", "report", "images", "by_source", "errors", "warn_above", "guesses",
        "warnings", "recipe", "normalised",
    ]  # fmt: skip
    (manifest.parent / "a-0.img").unlink()
    assert command("audit", "m.csv", "--quiet").code == 3
