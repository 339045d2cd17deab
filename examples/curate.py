#!/usr/bin/env python
"""Make one clean, split manifest of a folder of labelled pictures, and see what gives labels away.

    python examples/curate.py FOLDER [MANIFEST]

FOLDER holds <kind>/<source>/…, such as photo/ffhq/1.png (docs/curation.md has other layouts).
Needs the full install, and no network. No picture is changed, moved or deleted.
"""

from __future__ import annotations

import sys

import facecheck

folder = sys.argv[1]
manifest = sys.argv[2] if len(sys.argv) > 2 else "data/manifest.csv"

indexed = facecheck.index(folder, manifest, facecheck.IndexOptions(overwrite=True))
print(f"{indexed.records} pictures of {len(indexed.by_source)} sources; {indexed.rejected} refused")

# Across all sources at once, so that no copy of a training picture is left in the test set.
clean = facecheck.dedup(manifest)
print(f"excluded: {dict(clean.dropped)}; {clean.conflicts} with labels that contradict each other")

parts = facecheck.split(manifest, facecheck.SplitOptions(ratio="8:1:1"))
print(f"split: {dict(parts.counts)}; near duplicates: {parts.near}")

# If headers or mean colours alone give the label away, a model will learn those, not faces.
audit = facecheck.audit(manifest)
for guess in audit.guesses:
    print(f"{guess.question} from {guess.features} alone: {guess.balanced_accuracy:.0%} right")
for warning in audit.warnings:
    print(f"warning: {warning}")

frame = facecheck.read_manifest(manifest).frame  # polars, one row a picture
print(frame.group_by("kind", "split").len().sort("kind", "split"))
