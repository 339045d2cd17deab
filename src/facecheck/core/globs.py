"""Globs that choose among files, as ripgrep's ``--glob`` and ``.gitignore`` read them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from facecheck.core.errors import UsageError

# A name can be shared out among stars in very many ways, and each is tried: three stars take 30 ms
# for the longest name, six years. A project file may hold a stranger's patterns.
_MOST_STARS = 3
_MOST_PATTERNS = 1_000


@dataclass(frozen=True)
class Globs:
    """What to take among the files of a folder, list or archive.

    A glob without a slash is held against each name, at any depth; one with a slash against the
    path from the folder, list or archive on. ``*`` and ``?`` stop at slashes, ``**`` does not;
    ``[a-z]``, ``[!a-z]`` and ``{a,b}`` work; case counts. A slash at the end means a folder, which
    stands for all that is in it. Excluding a folder excludes all that is in it, and is stronger
    than including.
    """

    _include: re.Pattern[str] | None
    _exclude: re.Pattern[str] | None

    def takes(self, path: str) -> bool:
        """Return whether to take a file, by its path from the top."""
        included = self._include is None or self._include.fullmatch(path)
        return bool(included) and not self.excludes(path)

    def excludes(self, path: str) -> bool:
        """Return whether a file is excluded; or a folder, whose path ends in a slash."""
        return self._exclude is not None and bool(self._exclude.fullmatch(path))


def read_globs(include: Sequence[str], exclude: Sequence[str]) -> Globs:
    """Return the rule for these globs; without any, everything is taken.

    Raises:
        UsageError: a glob is empty, or begins with ``!``.
    """
    return Globs(_pattern(include, "--include"), _pattern(exclude, "--exclude", below=True))


def _pattern(globs: Sequence[str], option: str, *, below: bool = False) -> re.Pattern[str] | None:
    """Return one pattern for all globs; with ``below``, of what is in matching folders too."""
    if not globs:
        return None
    from wcmatch import glob

    anchored = [_anchored(text, option) for text in globs]
    wanted = [text for text in anchored if not text.endswith("/")]
    wanted += [f"{text.rstrip('/')}/**" for text in anchored if below or text.endswith("/")]
    flags = glob.GLOBSTAR | glob.BRACE | glob.DOTGLOB | glob.FORCEUNIX
    try:
        expressions, _ = glob.translate(wanted, flags=flags, limit=_MOST_PATTERNS)
    except Exception as error:
        if type(error).__name__ != "PatternLimitException":  # which has no public name
            raise
        raise UsageError(
            f"{option}: stands for over {_MOST_PATTERNS:,} patterns: use fewer braces"
        ) from None
    return re.compile("|".join(expressions))


def _anchored(text: str, option: str) -> str:
    if not text.strip("/") or text.startswith("!"):
        other = "--include" if option == "--exclude" else "--exclude"
        hint = f": pass {other} {text[1:]!r}" if text[1:] else ": give a glob, such as '*.jpg'"
        raise UsageError(f"{option} {text!r} chooses nothing{hint}")
    if max(part.count("*") for part in text.split("/")) > _MOST_STARS or text.count("**") > 2:
        raise UsageError(
            f"{option} {text!r}: over {_MOST_STARS} stars in one name, or ** more than twice: such "
            "a pattern may take for ever to match: write it with fewer"
        )
    return text.lstrip("/") if "/" in text.rstrip("/") else f"**/{text}"
