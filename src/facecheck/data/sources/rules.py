"""The rules of a source: which of its files are which kind, and who belongs together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath

from facecheck.core.image import is_image_name

_FIELD = re.compile(r"\{(\w+)\}")
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
    """
    if not is_image_name(inner):
        return None
    for position, rule in enumerate(rules):
        if not glob_pattern(rule.files).fullmatch(inner.as_posix()):
            continue
        named = re.fullmatch(rule.name, inner.name) if rule.name else None
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


def template_fields(template: str) -> set[str]:
    """Return the names in braces of a template."""
    return set(_FIELD.findall(template))


def extra_columns(rules: Iterable[Rule]) -> list[str]:
    """Return the further columns that some rules fill, in order of first mention."""
    return list(dict.fromkeys(column for rule in rules for column in rule.columns))


@cache
def glob_pattern(files: str) -> re.Pattern[str]:
    """Return the expression that whole paths under a rule's ``files`` pattern match."""
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", files)
    body = "".join(wild.get(part, re.escape(part)) for part in parts)
    return re.compile(f"(?:.*/)?{body}", re.IGNORECASE | re.DOTALL)


def _fill(template: str, values: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda match: values[match[1]], template)
