"""What the tables of all commands are made of.

A table that is too wide for the terminal is first made narrower: headings and sentences are broken
between words, and long paths are cut in the middle, since the name at their end is what one looks
for. Where even that is not enough, each row becomes a paragraph of ``heading value``. So nothing
is cut off in silence, however narrow the terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
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


#: A word of more columns than this, such as a path, may be cut in the middle.
_LONG = 24


class FittingTable(Table):
    """A table without lines that is made to fit wherever it is shown."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = [
            [_as_text(console, cell) for cell in (column.header, *column.cells)]
            for column in self.columns
        ]
        free = [column.justify == "left" for column in self.columns]
        for gap in (2, 1):
            widths = _fitted(columns, free, options.max_width - gap * (len(columns) - 1))
            if widths:
                yield self._narrowed(columns, widths, gap)
                return
        yield self._paragraphs(columns, free)

    def _narrowed(
        self, columns: Sequence[Sequence[Text]], widths: Sequence[int], gap: int
    ) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", show_header=self.show_header)
        table.padding = (0, 1, 0, gap - 1)
        for column, cells, width in zip(self.columns, columns, widths, strict=True):
            table.add_column(cells[0], justify=column.justify, width=width, overflow="fold")
        for number, row in enumerate(self.rows, start=1):
            shown = (_cut_words(each[number], at) for each, at in zip(columns, widths, strict=True))
            table.add_row(*shown, style=row.style, end_section=row.end_section)
        return table

    def _paragraphs(self, columns: Sequence[Sequence[Text]], free: Sequence[bool]) -> Group:
        """Return each row as a line of its first words, and below it what is under each heading."""
        names = free.index(False) if False in free else 1
        parts: list[RenderableType] = []
        for number, row in enumerate(self.rows, start=1):
            words = Text(" ").join(cells[number] for cells in columns[:names])
            words.stylize(row.style or "bold")
            facts = Text("; ").join(
                Text.assemble(
                    (cells[0].plain, "bold"), " " if cells[0].plain else "", cells[number]
                )
                for cells in columns[names:]
            )
            facts.overflow = words.overflow = "fold"
            parts += [words, Padding(facts, (0, 0, 0, 2))]
        return Group(*parts)


def _fitted(columns: Sequence[Sequence[Text]], free: Sequence[bool], room: int) -> list[int] | None:
    """Return the widths of columns that fit into ``room``; None if there are none.

    Args:
        columns: each column's heading and cells.
        free: whether cells of a column may be broken; numbers are not.
        room: the columns of the terminal that are left to all of them.
    """
    widths = [max(cell_len(line) for cell in cells for line in _lines(cell)) for cells in columns]
    least = [
        max(_longest_word(cells[0]), *(_least(cell, breaks) for cell in cells[1:]), 1)
        for cells, breaks in zip(columns, free, strict=True)
    ]
    if sum(least) > room:
        return None
    while sum(widths) > room:
        spare = [width if width > low else 0 for width, low in zip(widths, least, strict=True)]
        widths[spare.index(max(spare))] -= 1
    return widths


def _least(cell: Text, breaks: bool) -> int:
    if breaks:
        return min(_longest_word(cell), _LONG)
    return max(map(cell_len, _lines(cell)))


def _lines(cell: Text) -> list[str]:
    return cell.plain.split("\n")


def _longest_word(cell: Text) -> int:
    return max(map(cell_len, cell.plain.split()), default=0)


def _as_text(console: Console, cell: object) -> Text:
    return cell if isinstance(cell, Text) else console.render_str(str(cell))


def _cut_words(cell: Text, width: int) -> Text:
    """Return a cell whose words are no wider than ``width``, by leaving out their middle."""
    if _longest_word(cell) <= width:
        return cell
    words = (cut_middle(word, width) for word in cell.plain.split(" "))
    return Text(" ".join(words), cell.style)


def cut_middle(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` columns, with … for its middle where it is longer.

    A path keeps the name of its file whole if there is room for it.
    """
    if cell_len(text) <= width:
        return text
    name = cell_len(text[text.rfind("/") :])
    head = max(0, min((width - 1) // 3, width - 1 - name if name < width else width))
    start = next(text[:end] for end in range(head, -1, -1) if cell_len(text[:end]) <= head)
    tail = width - 1 - cell_len(start)
    end = next(text[at:] for at in range(len(text) + 1) if cell_len(text[at:]) <= tail)
    return f"{start}…{end}"


def make_table(*headings: str) -> Table:
    """Return an empty table without lines: words to the left, numbers to the right."""
    table = FittingTable(box=None, pad_edge=False, header_style="bold")
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
