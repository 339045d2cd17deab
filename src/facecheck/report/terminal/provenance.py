"""What files say of their own origin, for provenance and explain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from facecheck.core.files import path_text
from facecheck.core.text import printable
from facecheck.provenance.evidence import Claim, Provenance
from facecheck.report.terminal.tables import count_table, skipped_lines, text_line

if TYPE_CHECKING:
    from facecheck.scanner.provenance import FileProvenance, ProvenanceResult

#: Files whose findings are shown one by one; beyond it a table of counts says more.
_FEW = 20
_WORDS = {
    Claim.GENERATED: "made by a model or an algorithm",
    Claim.COMPOSITE: "edited by a model",
    Claim.CAPTURE: "taken by a camera or scanner",
    Claim.OTHER: "",
}
_STYLES = {Claim.GENERATED: "red", Claim.COMPOSITE: "red", Claim.CAPTURE: "green"}


def findings_of(provenance: Provenance) -> Iterator[RenderableType]:
    """Yield a table of all that was found in a file, and a line for what could not be read."""
    if provenance.findings:
        table = Table(box=None, pad_edge=False, show_header=False)
        for each in provenance.findings:
            said = ", ".join(filter(None, (_WORDS[each.claim], each.maker)))
            signed = f", signed by {each.signer}" if each.signer else ""
            place = f"{each.where}: {each.value}{signed}"
            table.add_row(
                Text(each.short, _STYLES.get(each.claim, "")),
                Text(printable(said)),
                Text(printable(place), "dim"),
            )
        yield table
    for error in provenance.errors:
        yield text_line(printable(f"not read: {error}"), "magenta")


def render_provenance(result: ProvenanceResult) -> RenderableType:
    """Render the findings of a few files one by one, of many as counts."""
    parts: list[RenderableType] = []
    if result.files <= _FEW:
        for file in result.shown:
            parts += _of_file(file)
    if result.files > 1:
        words = {name: count for name, count in result.claims.items() if count}
        parts.append(count_table("strongest finding", words))
    if result.files > _FEW and result.findings:
        most = dict(sorted(result.findings.items(), key=lambda item: -item[1])[:_FEW])
        parts.append(count_table("findings", most))
    table = "" if result.out is None else f"; {path_text(result.out)}"
    failed = f", {result.errors:,} cannot be read" if result.errors else ""
    parts.append(text_line(f"{result.files:,} files{failed}{table}"))
    return Group(*parts, *skipped_lines(result.skipped))


def _of_file(file: FileProvenance) -> Iterator[RenderableType]:
    yield text_line(printable(file.path), "bold")
    if file.message:
        yield text_line(printable(file.message), "magenta")
    elif not file.provenance.short:
        yield text_line("says nothing of its origin, which proves nothing: marks are easily lost")
    yield from findings_of(file.provenance)
