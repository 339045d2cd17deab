#!/usr/bin/env python
"""Check pictures from Python: as files, as bytes, as Pillow images and as arrays.

    python examples/check_pictures.py PICTURE...

Needs the small install (requirements/scan.txt), no network and no GPU. The built-in model takes
about 0.13 s of a core for a face; `--fast` takes the small one. docs/model-card.md says what it
knows.
"""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image

import facecheck

names = [name for name in sys.argv[1:] if name != "--fast"]
checker = facecheck.Checker("builtin-fast" if "--fast" in sys.argv else "builtin")

# One picture: what a scan says of it, with the face that decided.
answer = checker.check(names[0])
low, high = answer.thresholds
print(f"{answer.name}: {answer.status}, {answer.verdict or 'no verdict'} {answer.message}")
if answer.score is not None:
    print(f"  score {answer.score:.3f}: real up to {low:.3f}, artificial from {high:.3f}")
    print(f"  kind {answer.kind}, {len(answer.boxes)} faces, this one at {answer.box}")

# Several, decoded while the model runs; a picture that cannot be read gets a row like any other.
for answer in checker.check_many(names):
    print(f"{answer.name}: {answer.verdict or answer.status}")

# In memory there is no file that says where it comes from: the pixels alone decide.
with Image.open(names[0]) as image:
    pixels = np.asarray(image.convert("RGB"))  # shape (height, width, 3), uint8, RGB
print(f"as an array: {checker.check(pixels).verdict}")
