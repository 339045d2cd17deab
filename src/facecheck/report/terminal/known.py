"""Results of known add and known show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from facecheck.core.files import path_text
from facecheck.core.text import printable
from facecheck.report.terminal.tables import count_table, skipped_lines, text_line

if TYPE_CHECKING:
    from facecheck.known.add import KnownAddResult, KnownResult


def render_known_add(result: KnownAddResult) -> RenderableType:
    """Render what was added to the table of known files, and what was not."""
    return Group(*_added(result), *skipped_lines(result.skipped))


def _added(result: KnownAddResult) -> Iterator[Text]:
    table = printable(path_text(result.table))
    yield text_line(
        f"{result.added:,} files added to {table}, which has {result.rows:,} now", "green"
    )
    if result.replaced:
        yield text_line(f"{result.replaced:,} earlier rows gave way to them")
    if result.already:
        yield text_line(f"{result.already:,} are there already, with the same verdict")
    if result.bytes_only:
        yield text_line(
            f"{result.bytes_only:,} are known by their bytes alone: there are no pixels to read"
        )
    for why, count in result.failed.items():
        yield text_line(f"{count:,} not added: {printable(why)}", "magenta")


def render_known(result: KnownResult) -> RenderableType:
    """Render what is in a table of known files."""
    table = printable(path_text(result.table))
    return Group(
        count_table("verdict", result.verdicts),
        *([count_table("kind", result.kinds)] if result.kinds else []),
        text_line(
            f"{result.rows:,} files in {table}: {result.pictures:,} are known by their pixels, "
            f"too, and near duplicates of {result.thumbnails:,} are found"
        ),
    )
