"""Real faces for the tests of the scan, and the detector that finds them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture(scope="session")
def detector(shared_data: Path) -> Path:
    """The face detector's file; a test that asks for it is skipped where it is not."""
    path = shared_data.parent / "models" / "yunet_n_dynamic.onnx"
    if not path.is_file():
        pytest.skip("the face detector of ../shared/models is not on this machine")
    return path


@pytest.fixture(scope="session")
def portraits(shared_data: Path) -> list[Path]:
    """Some photographs of one face each, cropped to it, of 256 x 256 pixels."""
    return sorted((shared_data / "photo" / "ffhq-256").iterdir())[:40:4]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 500 kB that can be filled."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def pasted(
    size: tuple[int, int], faces: Sequence[tuple[Path, int, int, int]], background: str = "#7090b0"
) -> Image.Image:
    """Return an image with face crops, each (file, left, top, side), laid onto it."""
    image = Image.new("RGB", size, background)
    for file, left, top, side in faces:
        with Image.open(file) as face:
            image.paste(face.convert("RGB").resize((side, side)), (left, top))
    return image
