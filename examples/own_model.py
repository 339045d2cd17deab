#!/usr/bin/env python
"""Scan with a model of your own, and with what people have decided already.

    python examples/own_model.py RUN MANIFEST FOLDER [CORRECTIONS]

RUN is a training's folder (examples/transfer_learning.py makes one), MANIFEST the one it was
trained on. CORRECTIONS is a CSV of `path,verdict`, such as `photos/1.jpg,real`: those files get
that verdict wherever their bytes or pixels are met again. Needs the full install, and no network.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

import facecheck

run, manifest, folder, *corrections = sys.argv[1:]

# Scores become probabilities, and thresholds keep an error budget: from the val split alone.
calibrated = facecheck.calibrate(run, manifest, facecheck.CalibrateOptions(budget=0.05))
low, high = calibrated.thresholds
print(f"real up to {low:.3f}, artificial from {high:.3f}, uncertain between")

known = None
if corrections:
    known = Path("known.csv")
    added = facecheck.known_add(corrections, known, facecheck.KnownAddOptions(replace=True))
    print(f"{facecheck.known_show(known).rows} files that people have decided, in {added.table}")

options = facecheck.ScanOptions(known=known, overwrite=True)
mine = facecheck.scan(folder, "mine.csv", run, options).frame()
theirs = facecheck.scan(folder, "builtin.csv", "builtin-fast", options).frame()

# Where two models differ, a person should look; `basis` says where people have already.
both = mine.join(theirs, on="path", suffix="_builtin")
differ = both.filter(pl.col("verdict") != pl.col("verdict_builtin"))
print(f"{differ.height} of {both.height} files differ between the two models")
print(differ.select("path", "verdict", "basis", "verdict_builtin", "score", "score_builtin"))
