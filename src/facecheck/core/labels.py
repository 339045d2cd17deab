"""What an image can show.

``photo`` is a photograph of a real human face; every other kind is artificial. The order here is
the order of kinds in every table, checkpoint and results file.
"""

from __future__ import annotations

from facecheck.core.errors import UsageError, did_you_mean

REAL = "photo"
KINDS = (REAL, "cartoon", "sketch", "painting", "sculpture", "generated")


def check_kind(kind: str, where: str) -> str:
    """Return ``kind`` if it is one of :data:`KINDS`.

    Raises:
        UsageError: it is not; the message names ``where`` and the nearest kind.
    """
    if kind not in KINDS:
        raise UsageError(
            f"unknown kind {kind!r} in {where}: the kinds are {', '.join(KINDS)}"
            + did_you_mean(kind, KINDS)
        )
    return kind
