"""Results of fetch and sources."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from facecheck.core.tree import skipped_sentences
from facecheck.report.terminal.curation import render_dedup, render_index
from facecheck.report.terminal.tables import make_table, text_line

if TYPE_CHECKING:
    from facecheck.data.sources.fetch import Fetched, FetchResult
    from facecheck.data.sources.offer import Listed, Listing


def render_fetch(result: FetchResult) -> RenderableType:
    """Render what became of each source, then the index and deduplication of all."""
    parts: list[RenderableType] = [
        line for fetched in result.sources for line in _fetched_lines(fetched, result.root)
    ]
    if result.indexed:
        parts.append(render_index(result.indexed))
    if result.deduplicated:
        parts.append(render_dedup(result.deduplicated))
    return Group(*parts)


def _fetched_lines(fetched: Fetched, root: Path) -> list[Text]:
    marker = fetched.marker
    size = f"{marker.files:,} files, {marker.bytes:,} bytes"
    lines = [text_line(f"{fetched.name}: {fetched.status}: {size}, in {root}")]
    told = list(fetched.notes)
    if fetched.left_out:
        told.append(f"{fetched.left_out:,} files of it are not images that its rules place")
    if fetched.renamed:
        told.append(f"{fetched.renamed:,} names in its archives could not be kept, see .facecheck")
    told += [f"archive kept: {archive}" for archive in fetched.archives]
    told += [f"skipped {said}" for said in skipped_sentences(fetched.skipped)]
    return lines + [text_line(f"  {note}", "yellow") for note in told]


def render_sources(listing: Listing) -> RenderableType:
    """Render the catalogue, one row a source."""
    table = make_table("source", "platform", "kinds", "images", "size", "licence", "status")
    for row in listing.sources:
        source = row.source
        table.add_row(
            Text(source.name),
            source.platform,
            Text(", ".join(source.kinds)),
            "?" if source.images is None else f"{source.images:,}",
            _size(source.bytes),
            Text(source.licence),
            Text(_status(row)),
        )
    return Group(
        table,
        text_line(
            "not verified: nobody has fetched it yet with this entry, so "
            "its handle or layout may be wrong. `facecheck sources NAME` tells more."
        ),
    )


def _status(row: Listed) -> str:
    words = ["default"] if row.source.default else []
    words += ["fetched"] if row.fetched else []
    words.append("verified" if row.source.verified else "not verified")
    return ", ".join(words)


def _size(count: int | None) -> str:
    return "?" if count is None else decimal(count).replace(".0 ", " ")


def render_source_details(listing: Listing) -> RenderableType:
    """Render all that the catalogue holds of some sources."""
    parts: list[RenderableType] = []
    for row in listing.sources:
        source = row.source
        table = Table(box=None, pad_edge=False, show_header=False)
        facts = {
            "title": source.title,
            "platform": source.platform,
            "where": row.where,
            "size": _size(source.bytes),
            "images": "?" if source.images is None else f"{source.images:,}",
            "kinds": ", ".join(source.kinds),
            "licence": source.licence,
            "terms": source.terms,
            "citation": source.citation,
            "sha256": ", ".join(source.sha256),
            "how to get it": source.instructions,
            "note": source.note,
            "evidence": source.evidence,
            "status": _status(row),
        }
        for name, value in facts.items():
            if value:
                table.add_row(Text(name, "bold"), Text(value, overflow="fold"))
        rules = make_table("files", "kind", "group", "excluded")
        for rule in source.rules:
            cells = (rule.files, rule.kind or "-", rule.group, rule.exclude)
            rules.add_row(*(Text(cell) for cell in cells))
        parts += [text_line(source.name, "bold"), table, rules]
    return Group(*parts)


def render_plan(listing: Listing) -> RenderableType:
    """Render what a fetch would bring: from where, how much, how long, on what terms."""
    table = make_table("source", "where", "size", "time", "licence", "status")
    for row in listing.sources:
        minutes = None if row.seconds is None else max(1, round(row.seconds / 60))
        table.add_row(
            Text(row.source.name),
            Text(row.where, overflow="fold"),
            _size(row.source.bytes),
            "?" if minutes is None else f"{minutes} min",
            Text(row.source.licence),
            Text(_status(row)),
        )
    unknown = f" and {listing.unknown} of unknown size" if listing.unknown else ""
    return Group(
        table,
        text_line(
            f"to download: about {_size(listing.bytes)}{unknown}; {_size(listing.free)} are free; "
            "times are for 50 Mbit/s; nothing was fetched"
        ),
    )
