"""The record: one row of a manifest, and so the manifest's columns."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Record:
    """One image of a manifest. The fields, in this order, are the manifest's columns.

    Attributes:
        path: the image file.
        source: the dataset it comes from.
        kind: what it shows, one of :data:`facecheck.core.labels.KINDS`.
        sha256: hex digest of the file's bytes.
        pixel_hash: hex digest of the picture once decoded: pixels, transparency and frames.
        phash: 64-bit perceptual hash, 16 hex digits.
        width: pixels across once upright.
        height: pixels down once upright.
        format: the file's format by its content, such as ``JPEG``.
        bytes: the file's size.
        group: records with one group share a split; empty stands for a group of its own.
        excluded: why the record takes no part in training (``duplicate``, ``conflict``), or empty.
        split: ``train``, ``val`` or ``test``; empty when not assigned.
    """

    path: str
    source: str
    kind: str
    sha256: str = ""
    pixel_hash: str = ""
    phash: str = ""
    width: int = 0
    height: int = 0
    format: str = ""
    bytes: int = 0
    group: str = ""
    excluded: str = ""
    split: str = ""


COLUMNS = tuple(field.name for field in fields(Record))
