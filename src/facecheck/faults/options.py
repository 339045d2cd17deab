"""The options of ``check``: what counts as a fault."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from facecheck.core.common_options import WorkersOption
from facecheck.core.options import Options, Trust, option
from facecheck.training.options import FeaturesOption


@dataclass(frozen=True)
class ImageFaultOptions(Options):
    """From where on an image is dark, blurred, odd or grey."""

    panel: ClassVar[str] = "Images"
    dark: float = option(
        0.32, "Dark: 95 % of the pixels are no brighter than this.", least=0, most=1
    )
    bright: float = option(
        0.9, "Bright: three quarters of the pixels are brighter than this.", least=0, most=1
    )
    low_information: float = option(
        0.7, "Low information: bits a pixel that a small grey copy holds, at most.", least=0
    )
    blurred: float = option(
        0.62, "Blurred: the blur effect (0: sharp, 1: no detail) from here on.",
        least=0, most=1,
    )  # fmt: skip
    odd_shape: float = option(
        0.4, "Odd shape: the short side is less than this share of the long one.", least=0, most=1
    )
    odd_size: float = option(
        3.0, "Odd size: so many times larger or smaller than the source's images.", least=1
    )
    grey: float = option(
        2.0, "Grey: mean difference between the colour channels, 0 to 255, at most.", least=0
    )


@dataclass(frozen=True)
class FaceFaultOptions(Options):
    """From where on faces are several, tiny, cut off or turned."""

    panel: ClassVar[str] = "Faces"
    faces: bool = option(
        True, "Search for faces; without, nothing is said of them.", flags=("--faces/--no-faces",)
    )
    several_faces: float = option(
        0.3, "Several faces: the second is at least this share of the largest, in width.",
        least=0, most=1,
    )  # fmt: skip
    tiny_face: float = option(
        32, "Tiny face: the largest has at most so many pixels on its short side.", least=0
    )
    distant_face: float = option(
        0.08, "Distant face: its short side is at most this share of the image's.", least=0, most=1
    )
    cut_off: float = option(
        0.15, "Cut off: more than this share of the face's box is outside.", least=0, most=1
    )
    turned: float = option(
        20, "Turned: the face leans, lies or hangs by more degrees.", least=0, most=180
    )
    profile: float = option(
        55, "Profile: the face looks aside by more degrees, roughly.", least=0, most=90
    )
    face_detector: Path | None = option(
        None, "Another YuNet file.", words="the package's own, or FACECHECK_FACE_DETECTOR"
    )


@dataclass(frozen=True)
class LearnedFaultOptions(FeaturesOption):
    """What is asked of the features of a frozen encoder."""

    panel: ClassVar[str] = "Labels and outliers"
    learn: bool = option(
        True,
        "Search for label errors and outliers by a frozen encoder's features, which take 0.1 s of "
        "a core an image, once.",
        flags=("--with-features/--no-features",),
    )
    label_error: float = option(
        0.8, "Label error: its own kind has at most a probability of 1 - this.", least=0, most=1
    )
    outlier: float = option(
        1.5, "Outlier: so many times further from its source's middle than is usual.", least=1
    )
    encoder: Path = option(
        Path("builtin"), "The encoder, .onnx, or builtin (docs/training.md).", metavar="FILE"
    )


@dataclass(frozen=True)
class FaultOptions(ImageFaultOptions, FaceFaultOptions, LearnedFaultOptions, WorkersOption):
    """What ``check`` measures, what it takes for a fault, and where its table goes."""

    out: Path | None = option(
        None,
        "The table, .csv or .parquet; replaced if it exists.",
        words="<manifest>.check.csv",
        trust=Trust.NAMED,
    )
    decisions: Path | None = option(
        None,
        "First write these decisions, which the page of `facecheck report` exports, to the "
        "manifest.",
        metavar="FILE",
        trust=Trust.NAMED,
    )
    common: float = option(
        0.5,
        "What more than this share of a source's images have is said once of the source, and not "
        "listed image by image; 1: list all.",
        least=0,
        most=1,
    )
    timeout: float = option(60.0, "Seconds that measuring one file may take.", least=0.1)
