"""The result of check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from facecheck.report.terminal.tables import count_table, make_table, tally_errors, text_line

if TYPE_CHECKING:
    from facecheck.faults.check import FaultResult
    from facecheck.faults.decide import Decided


def render_faults(result: FaultResult) -> RenderableType:
    """Render how many images have each fault, what whole sources have, and what was not checked."""
    table = make_table("reason", "images")
    for reason, count in result.counts.items():
        table.add_row(reason, f"{count:,}")
    return Group(table, *_lines(result))


def _lines(result: FaultResult) -> Iterator[RenderableType]:
    for common in result.common:
        yield text_line(
            f"{common.kind}/{common.source}: {common.reason} in {common.having:,} of "
            f"{common.images:,} images: said of the source, not listed"
        )
    for why in dict.fromkeys(result.not_checked.values()):
        reasons = ", ".join(each for each, told in result.not_checked.items() if told == why)
        yield text_line(f"not checked: {reasons} ({why})", "yellow")
    if result.decided is not None:
        yield from _decided_lines(result.decided)
    if result.settled:
        yield text_line(f"{result.settled:,} that were decided about are not listed again")
    if result.bad_lines:
        yield text_line(f"{result.bad_lines:,} damaged lines of the journal were dropped")
    if result.errors:
        yield count_table("files that could not be read", tally_errors(result.errors))
    yield Text(
        f"{result.records:,} records: {result.faulty:,} with a fault "
        f"({result.table}); {result.excluded:,} excluded records left out",
        overflow="fold",
    )


def _decided_lines(decided: Decided) -> Iterator[RenderableType]:
    yield text_line(
        f"decisions: {decided.relabelled:,} given another kind, {decided.excluded:,} excluded, "
        f"{decided.kept:,} kept"
    )
    if decided.unknown or decided.changed:
        yield text_line(
            f"decisions not taken: {decided.unknown:,} about files that are not in the manifest, "
            f"{decided.changed:,} about files that have changed",
            "yellow",
        )
