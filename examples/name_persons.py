#!/usr/bin/env python
"""Adds a column `person` to a manifest, from file names that begin with the person, as p1-0007.jpg.

python examples/name_persons.py data/manifest.csv
facecheck split --group-column person
"""

import sys
from pathlib import Path

import polars as pl

from facecheck.core.manifest import Manifest, made_from, read_manifest, write_manifest

#: Sources whose file names begin with the person.
SOURCES = ("sports-press", "glint-112")

path = Path(sys.argv[1])
made_by = made_from(path, path, "name_persons.py", {"sources": list(SOURCES)})
name = pl.col("path").str.split("/").list.last().str.extract(r"^(p\d+)-")
person = pl.when(pl.col("source").is_in(SOURCES)).then(pl.format("{}/{}", "source", name))
frame = read_manifest(path).frame.with_columns(person=person.fill_null(""))
write_manifest(Manifest(frame), path, made_by)
