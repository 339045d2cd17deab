"""British and American spellings: whichever a user types is understood as the one that is known."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: What British English spells otherwise, and how American English does, at the end of a word or
#: before what is added to it.
_AMERICAN = (
    (r"grey", "gray"),
    (r"centre", "center"),
    (r"colour", "color"),
    (r"licence", "license"),
    (r"catalogue", "catalog"),
    (r"behaviour", "behavior"),
    (r"labell(?=ed|ing)", "label"),
    (r"(?<=[a-z]{3})is(?=e|ed|er|ers|ing|ation)(?=\w*\b)", "iz"),
)


def respelled(name: str, known: Iterable[str]) -> str:
    """Return the one of ``known`` that is ``name`` in the other spelling; else ``name`` itself.

    A name that is known stays as it is, as does one that two known names would answer to.
    """
    names = list(known)
    if name in names:
        return name
    wanted = _american(name)
    same = [each for each in names if _american(each) == wanted]
    return same[0] if len(same) == 1 else name


def _american(name: str) -> str:
    # Words of a name are joined by dashes and underscores, and the latter count as letters.
    words = name.lower().replace("_", "-")
    for british, american in _AMERICAN:
        words = re.sub(british, american, words)
    return words
