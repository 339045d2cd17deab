"""The options of ``export``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from facecheck.core.common_options import OverwriteOption
from facecheck.core.options import option

#: The formats of exports, and what their weights may be stored in.
Format = Literal["onnx", "torchscript", "openvino", "litert"]
Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class ExportOptions(OverwriteOption):
    """How ``export`` writes a checkpoint, and how much it compares."""

    precision: Precision = option(
        "fp32",
        "Precision of the weights; int8 also computes in int8, calibrated on half of the val "
        "images.",
    )
    per_source: int = option(60, "Compare on at most this many images per source; 0: all.", least=0)
