"""Arguments that several commands share: which checkpoint, and which manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.display import Display, tell
from facecheck.core.files import path_text
from facecheck.core.workspace import Choice, builtin_name, choose_checkpoint

_CHECKPOINT = "A checkpoint, an export of one, a run folder, `builtin` or `builtin-fast`."
_NEWEST = "the newest finished run, or builtin"

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


def chosen_checkpoint(given: Path | None, display: Display) -> Path:
    """Return the checkpoint that is named, or the newest finished run's or the built-in one.

    What is not finished is said on stderr: it is neither taken nor skipped in silence.

    Raises:
        UsageError: there is none.
    """
    choice = choose_checkpoint(given)
    if choice.unfinished and not display.quiet:
        tell(f"facecheck: {_unfinished(choice, named=given is not None)}")
    return choice.path


def _unfinished(choice: Choice, *, named: bool) -> str:
    runs = ", ".join(map(path_text, choice.unfinished))
    if named:
        return f"{runs} is not finished: this is its best epoch so far"
    instead = "the built-in model" if builtin_name(choice.path) else path_text(choice.path.parent)
    what = "a run that is" if len(choice.unfinished) == 1 else "runs that are"
    return (
        f"skipped {what} not finished: {runs} (resume it with `facecheck train --resume RUN`, or "
        f"name it); taken instead: {instead}"
    )
