"""The options of reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facecheck.core.common_options import (
    BatchSizeOption,
    DeviceOption,
    OverwriteOption,
    WorkersOption,
)
from facecheck.core.options import Trust, option
from facecheck.scanner.options import ReachOptions


@dataclass(frozen=True)
class CurationReportOptions(OverwriteOption, WorkersOption):
    """How a manifest is shown."""


@dataclass(frozen=True)
class ScanReportOptions(OverwriteOption, WorkersOption, ReachOptions):
    """How the results of a scan are shown."""

    base: Path | None = option(
        None,
        "For scans: the folder that relative paths in the results are of.",
        metavar="DIR",
        words="the folder that the scan ran in, or the current one",
        trust=Trust.NAMED,
    )
    thumbnails: int = option(100_000, "For scans: thumbnails for at most this many rows.", least=0)
    heat_maps: int = option(
        0,
        "For scans: number of heat maps, drawn for the most artificial and for the most uncertain "
        "rows each.",
        least=0,
    )


@dataclass(frozen=True)
class RunReportOptions(OverwriteOption, DeviceOption, BatchSizeOption, WorkersOption):
    """What a run is evaluated on for its report."""

    manifest: Path | None = option(
        None,
        "For runs: the manifest to evaluate on.",
        words="the run's own, or data/manifest.csv",
    )
    split: str = option("test", "For runs: the split to evaluate on.", metavar="train|val|test")
    per_source: int = option(
        0, "For runs: evaluate at most this many images per source; 0: all.", least=0
    )
    benchmark: Path | None = option(
        None,
        "For runs: the results of `facecheck benchmark-model --out DIR`.",
        metavar="DIR",
        words="benchmark in the run folder",
    )
    audit: Path | None = option(
        None, "For runs: the manifest's audit.", words="the .audit.json next to the manifest"
    )
