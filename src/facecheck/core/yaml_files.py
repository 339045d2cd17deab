"""YAML as all of facecheck reads and writes it: the scalars of YAML 1.2.

PyYAML follows YAML 1.1, which takes ``8:1:1`` for a number to the base of 60, ``no`` and ``off``
for false, ``007`` for 7 and ``1e-3`` for text. Here numbers, ``true``, ``false`` and ``null`` are
what they are in JSON, with the further spellings of the core schema of YAML 1.2.2
(https://yaml.org/spec/1.2.2/#103-core-schema), but for integers with leading zeros; everything else
is text.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from facecheck.core.errors import ConfigError, reason
from facecheck.core.files import path_text
from facecheck.core.whatis import mistaken, what_is

_NULL = ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", "~nN")
_TYPED = (
    _NULL,
    ("tag:yaml.org,2002:bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:int", "[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
)


class _Loader(yaml.SafeLoader):
    """Text, unless it is written like a number, a truth value or null; no key twice."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's own shape

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping; raise where one key would silently replace another."""
        found = super().construct_mapping(node, deep=deep)
        if len(found) < len(node.value):
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise yaml.constructor.ConstructorError(None, None, f"{twice!r} is there twice")
        return found


class _TextLoader(_Loader):
    """Every scalar is text, as on a command line; only null is not."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's own shape


class _Dumper(yaml.SafeDumper):
    """Text is quoted that YAML 1.1 or 1.2 would take for something else."""

    yaml_implicit_resolvers: dict[str, Any] = {  # noqa: RUF012
        **yaml.SafeDumper.yaml_implicit_resolvers
    }


for _tag, _pattern, _starts in _TYPED:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), [*_starts])
_Loader.add_implicit_resolver(_NULL[0], re.compile("^$"), [""])
_TextLoader.add_implicit_resolver(_NULL[0], re.compile(f"^(?:{_NULL[1]})$"), [*_NULL[2], ""])


def parse_yaml(content: str | bytes, where: Path | str, *, as_text: bool = False) -> Any:
    """Return what YAML holds; None if it is empty.

    Args:
        content: the YAML; bytes may be UTF-8 or, with a byte order mark, UTF-16.
        where: the file it comes from, for messages.
        as_text: read every scalar but null as text.

    Raises:
        ConfigError: it is not YAML, asks for objects of Python, or has a key twice.
    """
    try:
        return yaml.load(content, _TextLoader if as_text else _Loader)  # noqa: S506  # both are safe
    except (yaml.YAMLError, UnicodeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path_text(where)}: not readable YAML: {reason(error)}") from None


def read_yaml(path: Path, *, as_text: bool = False) -> Any:
    """Return what a YAML file holds; None if it is empty.

    Raises:
        ConfigError: it cannot be read, or as :func:`parse_yaml`.
    """
    if path.is_dir():
        raise ConfigError(mistaken(path, "a YAML file", "name the file"))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path_text(path)}: cannot be read: {reason(error)}") from None
    try:
        return parse_yaml(content, path, as_text=as_text)
    except ConfigError:
        if what_is(path) in ("a YAML file", "a text file", "a JSON file"):
            raise
        raise ConfigError(mistaken(path, "a YAML file", "name another")) from None


def dump_yaml(value: Any, *, lists_in_one_line: bool = False) -> str:
    """Return ``value``, made of mappings, lists, text and numbers, as YAML; keys stay in order."""
    style = None if lists_in_one_line else False
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=style)
