#!/usr/bin/env python
"""Scan a folder and work with the results as a table.

    python examples/folder_to_frame.py FOLDER [RESULTS]

Needs the small install (requirements/scan.txt) and no network. RESULTS is results.parquet unless
named; stop the script at any time and start it again: the scan resumes. For pandas, install the
extra `pandas` and write `result.frame("pandas")`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

import facecheck

folder = sys.argv[1]
out = Path(sys.argv[2] if len(sys.argv) > 2 else "results.parquet")

options = facecheck.ScanOptions(overwrite=True)
result = facecheck.scan(folder, out, "builtin-fast", options)
print(f"{result.files} files, by verdict: {dict(result.verdicts)}, by status: {result.statuses}")

frame = result.frame()  # a polars.DataFrame, every column with its type
print(frame.group_by("status", "verdict", "kind").len().sort("len", descending=True))

# What a person should see first: no verdict, or a score close to a threshold.
unsure = frame.filter(pl.col("verdict").is_in(["", "uncertain"]))
print(unsure.select("path", "status", "score", "message"))

# For results that memory does not hold, the file is read in parts.
lazy = facecheck.read_results(out, "lazy")
print(lazy.filter(pl.col("score") > 0.9).select("path", "score").head(10).collect())
