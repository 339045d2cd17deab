"""The rules of a source: which of its files are which kind, and who belongs together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from facecheck.core.errors import SourceError
from facecheck.core.files import path_text
from facecheck.core.formats import is_image_name

if TYPE_CHECKING:
    import regex

_FIELD = re.compile(r"\{(\w+)\}")
# What the wildcards of a pattern are as regular expressions; so many of them cannot take long.
_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_FEW = 2
#: Seconds that a rule's ``name`` may take for one file name.
LONGEST_MATCH = 1.0
# The step of ``**/`` that takes folders, behind the one that may take none.
_FOLDERS = "folders"
#: What a template may use besides the named groups of its rule's ``name``.
FIELDS = frozenset(("stem", "name", "folder"))


@dataclass(frozen=True)
class Rule:
    """What the image files under one pattern are.

    Attributes:
        files: pattern of paths below any folder, in any case: ``*`` and ``?`` stay within one
            name, ``**`` spans folders, as in ``trainA/*``.
        kind: what they show; None, with ``exclude``, leaves them out of the workspace.
        name: regular expression that the whole file name must match, or empty for any name; its
            named groups can be used by the templates.
        group: template of what files that must share a split have in common, such as
            ``{person}``; empty gives each file a group of its own.
        exclude: why these files take no part in training, or empty.
        columns: templates of further manifest columns, by column.
    """

    files: str
    kind: str | None = None
    name: str = ""
    group: str = ""
    exclude: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Placement:
    """What the rules say of one file: the rule's place in order, and its values filled in."""

    rule: int
    kind: str | None
    group: str
    excluded: str
    columns: Mapping[str, str]


def place(rules: Sequence[Rule], inner: PurePosixPath) -> Placement | None:
    """Return what the first rule that fits says of the file at ``inner``, or None if none does.

    ``inner`` is the path inside the archive or folder that came. Files that are not named like
    images fit no rule. Groups are compared without regard to case, as upstream names vary.

    Raises:
        SourceError: a rule's ``name`` takes longer than :data:`LONGEST_MATCH`.
    """
    if not is_image_name(inner):
        return None
    for position, rule in enumerate(rules):
        if not glob_matcher(rule.files)(inner.as_posix()):
            continue
        named = _named(rule.name, inner.name) if rule.name else None
        if rule.name and not named:
            continue
        values = {"stem": inner.stem, "name": inner.name, "folder": inner.parent.name}
        if named:
            values |= {key: value or "" for key, value in named.groupdict().items()}
        return Placement(
            position,
            rule.kind,
            _fill(rule.group, values).casefold(),
            rule.exclude,
            {column: _fill(template, values) for column, template in rule.columns.items()},
        )
    return None


def _named(expression: str, name: str) -> regex.Match[str] | None:
    import regex  # which the small install, that lists sources but fetches none, does without

    try:
        return regex.fullmatch(expression, name, timeout=LONGEST_MATCH)
    except TimeoutError:
        raise SourceError(
            f"the rule with the name {expression!r} takes over {LONGEST_MATCH:g} s for the file "
            f"{path_text(name)}: write the rule with fewer repetitions"
        ) from None


def template_fields(template: str) -> set[str]:
    """Return the names in braces of a template."""
    return set(_FIELD.findall(template))


def extra_columns(rules: Iterable[Rule]) -> list[str]:
    """Return the further columns that some rules fill, in order of first mention."""
    return list(dict.fromkeys(column for rule in rules for column in rule.columns))


def repeats_what_varies(expression: str) -> bool:
    """Return whether an expression repeats a part that has a repetition or a choice in it.

    Matching such a one can take time that doubles with each letter of a name.
    """
    return _varies(re._parser.parse(expression), within=False)  # type: ignore[attr-defined]


def _varies(parsed: Iterable[Any], *, within: bool) -> bool:
    """Walk the parts of a parsed expression; ``within``: they are repeated."""
    for operation, value in parsed:
        name = str(operation)
        inner = within
        if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            least, most, _ = value
            if within and least != most:
                return True
            inner = within or int(most) > 1
        elif name == "BRANCH" and within:
            return True
        if any(_varies(part, within=inner) for part in _inside(value)):
            return True
    return False


def _inside(value: Any) -> Iterator[Any]:
    """Yield the parsed expressions within an operation's value."""
    if hasattr(value, "getwidth"):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _inside(each)


@cache
def glob_matcher(files: str) -> Callable[[str], bool]:
    """Return what says whether a whole path matches a rule's ``files`` pattern, in any case.

    It takes time in proportion to the lengths of path and pattern: a regular expression of many
    stars tries all ways to share a name out among them, which may take years.
    """
    parts = [part for part in re.split(r"(\*\*/|\*\*|\*|\?)", files) if part]
    if sum(part in _WILD for part in parts) <= _FEW:
        body = "".join(_WILD.get(part) or re.escape(part) for part in parts)
        pattern = re.compile(f"(?:.*/)?{body}", re.IGNORECASE | re.DOTALL)
        return lambda path: pattern.fullmatch(path) is not None
    return _Steps(parts).match


class _Steps:
    """A glob as steps through a path; all ways are followed at once, as bits of one number.

    Bit n is set while the first n steps can match what was read. A step takes one character, or,
    if it is a star, any number of them.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        steps = ["**/", _FOLDERS]  # in any folder
        for part in parts:
            more = {"**/": ["**/", _FOLDERS]}.get(part, [part])
            steps += more if part in _WILD else list(part.lower())
        self._steps = steps

    def match(self, path: str) -> bool:
        """Return whether a whole path matches."""
        now = self._with_nothing(1)
        for character in path.lower():
            now = self._with_nothing(self._after(now, character))
            if not now:
                return False
        return bool(now >> len(self._steps) & 1)

    def _after(self, now: int, character: str) -> int:
        """Return the ways that are left after one more character."""
        after = 0
        for at, step in enumerate(self._steps):
            if not now >> at & 1:
                continue
            if step in {"**", _FOLDERS} or (step == "*" and character != "/"):
                after |= 1 << at
            ends = "/" if step == _FOLDERS else step
            if ends == character or (step == "?" and character != "/"):
                after |= 1 << at + 1
        return after

    def _with_nothing(self, now: int) -> int:
        """Add the ways on which a star takes nothing."""
        for at, step in enumerate(self._steps):
            if now >> at & 1 and step in {"*", "**", "**/"}:
                now |= 1 << at + 1
                if step == "**/":  # no folder at all
                    now |= 1 << at + 2
        return now


def _fill(template: str, values: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda match: values[match[1]], template)
