"""Which quantities are faults: one table of reasons, each with its threshold and its score."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from facecheck.core.labels import Kind
from facecheck.faults.options import FaultOptions

#: The kinds whose faces the detector finds as surely as those of photographs.
LIKE_PHOTOGRAPHS = (Kind.PHOTO, Kind.GENERATED, Kind.COMPOSITE)
#: A source of fewer images has no usual size, and nothing that is common in it.
FEW = 10
#: By how much an image's blur effect must exceed that of its source, as well as the threshold.
_SOFTER = 0.1
#: Whiskers of a box plot, in interquartile ranges (Tukey 1977): sizes within them are usual.
_WHISKERS = 1.5
_SOURCE = ("kind", "source")


@dataclass(frozen=True)
class Measure:
    """One reason that comes from a number.

    Attributes:
        reason: as the table has it.
        value: the number, from columns of :class:`~facecheck.faults.quantities.Quantities`, kind
            and source.
        threshold: from where on it is a fault.
        worst: where the score is 1; None: without bound, and the score is 1 - threshold / value.
        also: what must hold as well.
        unit: of the number, in words.
    """

    reason: str
    value: pl.Expr
    threshold: float
    worst: float | None
    unit: str
    also: pl.Expr | None = None

    def score(self) -> pl.Expr:
        """Return how far a value is beyond the threshold, 0 at it to 1 as far as can be."""
        if self.worst is None:
            return 1 - self.threshold / self.value
        span = self.worst - self.threshold
        return (self.value - self.threshold) / span if span else pl.lit(1.0)

    def holds(self) -> pl.Expr:
        """Return whether it is a fault; null where there is no such number."""
        low = self.worst is not None and self.worst < self.threshold
        beyond = self.value <= self.threshold if low else self.value >= self.threshold
        return beyond if self.also is None else beyond & self.also


def measures(options: FaultOptions) -> tuple[Measure, ...]:
    """Return all reasons that come from a number, with the thresholds of some options."""
    short, long = pl.min_horizontal("width", "height"), pl.max_horizontal("width", "height")
    size = (pl.col("width") * pl.col("height")).cast(pl.Float64).sqrt().log()
    off = size - size.median().over(_SOURCE)
    blur, face = pl.col("blur"), pl.col("face").cast(pl.Float64)
    has_face, holds_more = pl.col("faces") > 0, pl.col("information") > options.low_information
    many = pl.len().over(_SOURCE) >= FEW
    return (
        Measure("dark", pl.col("highlights"), options.dark, 0, "brightness, 0 to 1"),
        Measure("bright", pl.col("lowlights"), options.bright, 1, "brightness, 0 to 1"),
        Measure(
            "low information", pl.col("information"), options.low_information, 0, "bits a pixel"
        ),
        Measure(
            "blurred", blur, options.blurred, 1, "blur effect, 0 to 1",
            # What is flat has no edges that could be sharp; a source may be soft as a whole.
            holds_more & (~many | (blur >= blur.median().over(_SOURCE) + _SOFTER)),
        ),
        Measure("odd shape", short / long, options.odd_shape, 0, "short side / long side"),
        Measure(
            "odd size", off.abs().exp(), options.odd_size, None, "times the source's median size",
            many & _is_outside_whiskers(size),
        ),
        Measure(
            "grey", pl.col("colour"), options.grey, 0, "difference of channels, 0 to 255",
            holds_more,
        ),
        Measure(
            "no face", pl.when("resembles").then(0.5).otherwise(1.0), 0.5, 1,
            "1: nothing resembles a face, 0.5: something does",
            (pl.col("faces") == 0)
            & (~pl.col("resembles") | pl.col("kind").is_in(LIKE_PHOTOGRAPHS)),
        ),
        Measure(
            "several faces", pl.col("second"), options.several_faces, 1,
            "width of the second / the largest face", pl.col("faces") > 1,
        ),
        Measure(
            "tiny face", face, options.tiny_face, 0, "pixels, short side of the largest face",
            has_face,
        ),
        Measure(
            "distant face", face / short, options.distant_face, 0,
            "share of the image's short side", has_face,
        ),
        Measure(
            "cut off", pl.col("outside"), options.cut_off, 1, "share of the face's box", has_face
        ),
        Measure("turned", pl.col("roll"), options.turned, 180, "degrees in the plane", has_face),
        Measure("profile", pl.col("yaw"), options.profile, 90, "degrees aside, roughly", has_face),
    )  # fmt: skip


def _is_outside_whiskers(size: pl.Expr) -> pl.Expr:
    low, high = (size.quantile(share, "linear").over(_SOURCE) for share in (0.25, 0.75))
    reach = _WHISKERS * (high - low)
    return (size < low - reach) | (size > high + reach)
