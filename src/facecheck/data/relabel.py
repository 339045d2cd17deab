"""Kinds that a user gives to sources and classes, whatever their folders or tables are called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from facecheck.core.errors import UsageError
from facecheck.core.labels import KINDS, check_kind
from facecheck.core.text import printable


class Relabel:
    """The kinds of ``--label``, by source, by ``kind/source``, or by class.

    Args:
        labels: (name, kind) for each.

    Raises:
        UsageError: a kind is unknown.
    """

    def __init__(self, labels: Sequence[tuple[str, str]]) -> None:
        self._kinds = {name: check_kind(kind, f"--label {name}={kind}") for name, kind in labels}
        self._folded = {name.casefold(): name for name in self._kinds}
        self._unused = set(self._kinds)
        self._sources: set[str] = set()

    def kind(self, kind: str, source: str) -> str:
        """Return the kind of a source's images that lie in the folder of ``kind``."""
        both = f"{kind}/{source}"
        self._sources.add(both)
        name = both if both in self._kinds else source
        self._unused.discard(name)
        return self._kinds.get(name, kind)

    def kind_of_class(self, name: str) -> str | None:
        """Return the kind that a class of somebody's stands for, in any case; None if unknown."""
        label = name if name in self._kinds else self._folded.get(name.casefold())
        if label is not None:
            self._unused.discard(label)
            return self._kinds[label]
        return name.casefold() if name.casefold() in KINDS else None

    def check(self, classes: Iterable[str] = ()) -> None:
        """Raise a :class:`UsageError` that names a label that was of no use.

        Args:
            classes: the classes that were met, which the label might have meant.
        """
        if self._unused:
            known = printable(", ".join(sorted({*self._sources, *classes})))
            raise UsageError(
                f"--label names source {min(self._unused)!r}, which has no images: the sources are "
                f"{known}"
            )
