"""What the tables of all commands are made of."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from facecheck.core.tree import Skipped, skipped_sentences

_TEXT_COLUMNS = frozenset(
    (
        *("kind", "source", "reason", "verdict", "status", "true \\ predicted"),
        *("other source", "kinds in conflict", "measure"),
        *("platform", "kinds", "licence", "where", "files", "group", "excluded"),
        *("question", "figure", "split", "file", "in", "belongs with", "which is in", "variant"),
        *("change", "line", "left out", "model", "strongest finding", "findings"),
    )
)


def make_table(*headings: str) -> Table:
    """Return an empty table without lines: words to the left, numbers to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in _TEXT_COLUMNS else "right")
    return table


def text_line(text: str, style: str = "") -> Text:
    """Return a line as text, never markup: a path may hold square brackets."""
    return Text(text, style=style, overflow="fold")


def count_table(heading: str, counts: Mapping[str, int]) -> Table:
    """Return a table of names and how often each occurs, the most frequent first."""
    table = make_table(heading, "count")
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(Text(name), f"{count:,}")
    return table


def interval_text(interval: tuple[float, float]) -> str:
    """Return an interval of shares as text such as ``91.0 to 95.1``, in %."""
    low, high = interval
    return f"{100 * low:.1f} to {100 * high:.1f}"


def tally_errors(errors: tuple[tuple[str, str], ...]) -> dict[str, int]:
    """Return (path, reason) pairs as counts, as :func:`count_table` takes them."""
    return {f"{path}: {reason}": 1 for path, reason in errors}


def skipped_lines(skipped: Skipped) -> list[Text]:
    """Return a line for each thing that a walk through folders skipped."""
    return [text_line(f"skipped {said}", "yellow") for said in skipped_sentences(skipped)]
