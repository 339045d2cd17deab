"""Kinds that a user gives to sources, whatever the folders say that these lie in."""

from __future__ import annotations

from collections.abc import Sequence

from facecheck.core.errors import UsageError
from facecheck.core.labels import check_kind


class Relabel:
    """The kinds of ``--label``, by source or by ``kind/source``.

    Args:
        labels: (name, kind) for each.

    Raises:
        UsageError: a kind is unknown.
    """

    def __init__(self, labels: Sequence[tuple[str, str]]) -> None:
        self._kinds = {name: check_kind(kind, f"--label {name}={kind}") for name, kind in labels}
        self._unused = set(self._kinds)
        self._sources: set[str] = set()

    def kind(self, kind: str, source: str) -> str:
        """Return the kind of a source's images that lie in the folder of ``kind``."""
        both = f"{kind}/{source}"
        self._sources.add(both)
        name = both if both in self._kinds else source
        self._unused.discard(name)
        return self._kinds.get(name, kind)

    def check(self) -> None:
        """Raise a :class:`UsageError` that names a label whose source was never asked for."""
        if self._unused:
            raise UsageError(
                f"--label names source {min(self._unused)!r}, which has no images: the sources are "
                f"{', '.join(sorted(self._sources))}"
            )
