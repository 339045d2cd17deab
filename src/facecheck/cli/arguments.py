"""Arguments that several commands share: which checkpoint, and which manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_CHECKPOINT = "A checkpoint, an export of one, a run folder, or `builtin`."
_NEWEST = "the newest run, or builtin"

CheckpointArgument = Annotated[Path | None, typer.Argument(help=_CHECKPOINT, show_default=_NEWEST)]
CheckpointOption = Annotated[
    Path | None, typer.Option("--checkpoint", help=_CHECKPOINT, show_default=_NEWEST)
]
ManifestArgument = Annotated[
    Path | None, typer.Argument(help="The manifest.", show_default="data/manifest.csv")
]
ManifestOption = Annotated[
    Path | None, typer.Option("--manifest", help="The manifest.", show_default="data/manifest.csv")
]
