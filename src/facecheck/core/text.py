"""Text that is safe to show, and numbers as people read them."""

from __future__ import annotations

import re
from collections.abc import Iterable

# What moves the cursor, changes colours or the order of letters, starts a line, or cannot be
# encoded: C0 and C1 controls, line and paragraph separators, bidirectional marks, and surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

# A name and password before a host, and what follows a name in a query, to the end of the address.
_LOGIN = re.compile(r"(?<=://)[^/@\s'\"]+@")
_QUERY = re.compile(r"([?&][\w.~%-]+=)([^&#\s'\"<>)\]]*)")
_FRAGMENT = re.compile(r"(://[^\s'\"#]*)#[^\s'\"<>)\]]*")
# What a query holds that is no secret, but names what is asked for.
_NO_SECRETS = frozenset(
    ("id", "name", "file", "filename", "path", "ref", "version", "v", "format", "export", "dl")
)


def without_secrets(text: str) -> str:
    """Return ``text`` with the secrets in its addresses replaced by ``…``.

    They are what stands before a host and an ``@``, values of a query other than those that name
    what is asked for (``id``, ``file``, ``version`` and such), and fragments. So a text can be
    written to a file that others get, such as ``facecheck.lock``.
    """
    text = _FRAGMENT.sub(r"\1", _LOGIN.sub("…@", text))
    return _QUERY.sub(
        lambda found: found[0] if found[1][1:-1].lower() in _NO_SECRETS else f"{found[1]}…", text
    )


def printable(text: str, *, keep: str = "") -> str:
    r"""Return ``text`` with what a terminal would obey, rather than show, escaped as in Python.

    A file name may hold ESC, a newline or a mark that turns letters round: they become ``\x1b``,
    ``\n`` and ``\u202e``.

    Args:
        text: what to show; names in it may be a stranger's.
        keep: characters to leave as they are, such as a newline.
    """
    return _UNPRINTABLE.sub(
        lambda found: found[0] if found[0] in keep else _escaped(found[0]), text
    )


def printable_json(text: str) -> str:
    r"""Return indented JSON with the same characters escaped as JSON does it: ``\u001b``."""
    return _UNPRINTABLE.sub(
        lambda found: "\n" if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def percent(share: float | None, digits: int = 2, *, unit: str = " %") -> str:
    """Return a share from 0 to 1 as text such as ``93.42 %``, or a dash for None."""
    return "-" if share is None else f"{100 * share:.{digits}f}{unit}"


def some_of(names: Iterable[str], most: int = 12) -> str:
    """Return names joined by commas, of many the first ``most`` and how many more there are."""
    every = list(names)
    more = f" and {len(every) - most:,} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
