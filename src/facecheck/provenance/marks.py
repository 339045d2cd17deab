"""Generators' own marks, by a table that people can extend: ``marks.yaml``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from facecheck.core.errors import ConfigError
from facecheck.core.files import path_text
from facecheck.provenance.evidence import Claim, Finding, Witness, shortened
from facecheck.provenance.fields import Field

#: The table of this package.
TABLE = Path(__file__).with_name("marks.yaml")

_KEYS = {"name", "maker", "says", "fields", "match", "source"}
_CLAIMS = (Claim.GENERATED, Claim.COMPOSITE)


@dataclass(frozen=True)
class Mark:
    """One mark of the table.

    Attributes:
        name: one word for it, as in ``mark:comfyui``.
        maker: the program or service that writes it.
        says: ``generated`` or ``composite``.
        fields: where it is written, such as ``text.parameters``; compared without regard to case.
        match: what must be found there; matches anything where the field alone is enough.
        source: where this is known from.
    """

    name: str
    maker: str
    says: Claim
    fields: tuple[str, ...]
    match: re.Pattern[str]
    source: str


@dataclass(frozen=True)
class Marks:
    """The marks, by the field that each is written in."""

    marks: tuple[Mark, ...]
    by_field: Mapping[str, Sequence[Mark]]

    def find(self, field: Field) -> Iterator[Finding]:
        """Yield a finding for each mark that a field holds."""
        for mark in self.by_field.get(field.place.lower(), ()):
            if mark.match.search(field.value):
                yield Finding(
                    Witness.MARK,
                    mark.says,
                    name=mark.name,
                    maker=mark.maker,
                    where=field.words,
                    value=shortened(field.value),
                )


@lru_cache(maxsize=4)
def load_marks(more: Path | None = None) -> Marks:
    """Return the marks of the package's table, and of a file with more of them.

    Raises:
        ConfigError: the file cannot be read, or an entry is not as it should be.
    """
    files = [TABLE] if more is None else [TABLE, more]
    marks = tuple(mark for file in files for mark in _read(file))
    by_field: dict[str, list[Mark]] = {}
    for mark in marks:
        for field in mark.fields:
            by_field.setdefault(field.lower(), []).append(mark)
    return Marks(marks, by_field)


def _read(path: Path) -> Iterator[Mark]:
    from facecheck.core.yaml_files import read_yaml  # which decoders, given the marks, do not need

    table = read_yaml(path, as_text=True)
    entries = table.get("marks") if isinstance(table, dict) else None
    if not isinstance(entries, list):
        raise ConfigError(
            f"{path_text(path)}: write a list under `marks:`, as in docs/provenance.md"
        )
    for number, entry in enumerate(entries, 1):
        yield _mark(entry, f"{path_text(path)}: mark {number}")


def _mark(entry: Any, where: str) -> Mark:
    if not isinstance(entry, dict) or not _KEYS - {"match"} <= entry.keys() <= _KEYS:
        raise ConfigError(f"{where}: needs {', '.join(sorted(_KEYS))}, of which match may be left")
    fields = entry["fields"]
    if entry["says"] not in _CLAIMS:
        raise ConfigError(f"{where}: says {entry['says']!r}: write {' or '.join(_CLAIMS)}")
    if not isinstance(fields, list) or not all(isinstance(each, str) for each in fields):
        raise ConfigError(f"{where}: fields is a list, such as [text.parameters]")
    try:
        match = re.compile(str(entry.get("match") or ""))
    except re.error as error:
        raise ConfigError(f"{where}: match is no regular expression: {error}") from None
    name, maker, source = (str(entry[key]) for key in ("name", "maker", "source"))
    return Mark(name, maker, Claim(entry["says"]), tuple(fields), match, source)
