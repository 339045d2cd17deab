"""The options of what uses and makes the table of known files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facecheck.core.common_options import FolderOptions, WorkersOption
from facecheck.core.errors import UsageError
from facecheck.core.labels import KINDS, Kind, Verdict, check_kind
from facecheck.core.options import Options, Trust, option

#: Where the table lies unless another is named.
TABLE = Path("known.csv")
#: A note is no longer than this.
MOST_NOTE = 500


@dataclass(frozen=True)
class KnownOptions(Options):
    """Which table of known files to consult."""

    known: Path | None = option(
        None,
        "A table of files that people have decided, as `facecheck known add` makes it: the same "
        "bytes or pixels get the verdict that they have there.",
        metavar="FILE",
        words="none",
        trust=Trust.NAMED,
    )


@dataclass(frozen=True)
class KnownAddOptions(FolderOptions, WorkersOption):
    """What is decided of the files that are added to the table, and how."""

    verdict: str | None = option(
        None,
        "What is decided of all files that are added: real, artificial or uncertain.",
        metavar="real|artificial|uncertain",
        words="each row's own",
    )
    kind: str | None = option(
        None,
        f"The kind of all of them: {', '.join(KINDS)}.",
        metavar="KIND",
        words="each row's own",
    )
    note: str = option("", "A note on all of them.", metavar="TEXT")
    reviewed: bool = option(
        False,
        "The verdicts in the results of a scan were reviewed by a person: add them as they are.",
        trust=Trust.NO_FILE,
    )
    replace: bool = option(
        False,
        "Where the table has another verdict on a file, the new one replaces it.",
        trust=Trust.NO_FILE,
    )
    thumbnails: bool = option(
        True,
        "Keep a thumbnail of 96 pixels of each picture, without which its near duplicates are not "
        "found.",
        flags=("--thumbnails/--no-thumbnails",),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.verdict is not None or self.kind is not None:
            decided(self.verdict or "", self.kind or "", "--verdict and --kind")
        if why := bad_note(self.note):
            raise UsageError(f"--note: {why}")


def decided(verdict: str, kind: str, where: str) -> Verdict:
    """Return the verdict that a verdict and a kind, of which one may be empty, stand for.

    Raises:
        UsageError: there is no such verdict or kind, or they are at odds; the message begins with
            ``where``.
    """
    if kind:
        check_kind(kind, where)
    if not verdict and not kind:
        raise UsageError(f"{where}: neither a verdict nor a kind: write one")
    if verdict and verdict not in {each.value for each in Verdict}:
        raise UsageError(f"{where}: unknown verdict {verdict[:40]!r}: write {', '.join(Verdict)}")
    if not kind:
        return Verdict(verdict)
    follows = Verdict.REAL if kind == Kind.PHOTO else Verdict.ARTIFICIAL
    if verdict not in {"", follows, Verdict.UNCERTAIN}:
        raise UsageError(f"{where}: verdict {verdict} with kind {kind}: correct one of them")
    return Verdict(verdict or follows)


def bad_note(note: str) -> str:
    """Return why a table may not hold a note, or an empty text."""
    if len(note) > MOST_NOTE:
        return f"a note of {len(note):,} letters: write {MOST_NOTE} at most"
    if note.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "a note that a spreadsheet would run as a formula: begin it with a letter"
    return ""
