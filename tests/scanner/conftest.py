"""A small disk, and images made of faces, for the tests of the scan."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


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


def png(image: Image.Image) -> bytes:
    """Return an image as the bytes of a PNG file."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def jpeg(image: Image.Image, **more: Any) -> bytes:
    """Return an image as the bytes of a JPEG file."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92, **more)
    return out.getvalue()
