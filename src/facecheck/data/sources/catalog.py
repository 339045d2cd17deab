"""The catalogue: where each source dataset lives, on what terms, and how its files are read.

The built-in one is ``catalog.yaml`` next to this module; a user's own file adds to it, and an entry
of the same name replaces a built-in one. ``docs/sources.md`` describes the format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from facecheck.core.errors import ConfigError, UsageError, did_you_mean, reason
from facecheck.core.files import path_text
from facecheck.core.labels import KINDS, near_kind
from facecheck.core.record import COLUMNS
from facecheck.core.text import without_secrets
from facecheck.core.yaml_files import parse_yaml
from facecheck.data.sources.rules import FIELDS, Rule, repeats_what_varies, template_fields

#: For each platform, what a handle looks like, as an expression and as an example.
HANDLES: Mapping[str, tuple[str, str]] = {
    "kaggle": (r"[\w-]+/[\w.-]+(/\d+)?", "owner/dataset, or owner/dataset/version-number"),
    "kaggle-competition": (r"[\w-]+", "the competition's name in its address"),
    "gdown": (
        r"[\w-]{20,}|https://(drive|docs)\.google\.com/\S+",
        "a Drive file id, or a file's or folder's https://drive.google.com/ address",
    ),
    "http": (r"https?://\S+", "an http:// or https:// address"),
    "github": (r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", "owner/repository@ and a commit's 40 digits"),
    # Not file://, nor a chain that ends there (zip://a::file:///b): what it names is a stranger's.
    "cloud": (
        r"(s3a?|gs|gcs|az|abfss?|adl|hf|oss|oci|memory)://(?!.*::)\S+",
        "an address such as s3://bucket/folder, gs://, az:// or hf://",
    ),
    "local": (r".+", "a folder or archive"),
    "manual": (r".*", "nothing"),
}
PLATFORMS = tuple(HANDLES)
_NAME = r"[a-z0-9][a-z0-9._-]*"
_RESERVED_REASONS = frozenset(("duplicate", "conflict"))


@dataclass(frozen=True)
class Source:
    """One dataset of the catalogue.

    Attributes:
        name: what users call it, and its folder under each kind.
        platform: which of :data:`PLATFORMS` serves it.
        handles: what names it there; several are several archives or files.
        rules: which of its files are what. Empty only for local folders laid out
            ``<kind>/<source>/``.
        title: its full name.
        default: whether `facecheck fetch` alone gets it.
        bytes: about how much is downloaded; None where not known.
        images: about how many images it holds; None where not known.
        sha256: of each handle's archive, as published by its makers; empty where not known.
        mirrors: other addresses of the same bytes, for ``http`` with one handle.
        licence: its licence, or what is known of it.
        terms: the address of its terms or home page.
        citation: the publication to cite.
        verified: whether a maintainer has fetched it with this entry.
        evidence: how handle and layout are known: fetched, or published by whom.
        note: what its users should know.
        instructions: for ``manual``: how to get it.
        expect: for ``manual``: images by kind, to check what the user unpacked.
        nested: unpack archives found inside its archives, too.
        options: for ``cloud``: arguments of the fsspec filesystem, such as ``anon: true``.
    """

    name: str
    platform: str
    handles: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    title: str = ""
    default: bool = False
    bytes: int | None = None
    images: int | None = None
    sha256: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    licence: str = "not stated"
    terms: str = ""
    citation: str = ""
    verified: bool = False
    evidence: str = ""
    note: str = ""
    instructions: str = ""
    expect: Mapping[str, int] = field(default_factory=dict)
    nested: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def public_handles(self) -> tuple[str, ...]:
        """The handles without passwords and tokens, for files that others get."""
        if self.platform == "local":  # paths
            return self.handles
        return tuple(map(without_secrets, self.handles))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds its rules place, in the order of all kinds."""
        return tuple(kind for kind in KINDS if any(rule.kind == kind for rule in self.rules))


def read_catalog(extra: Path | None = None) -> dict[str, Source]:
    """Return the built-in sources by name, and those of the user's file ``extra``.

    ``extra`` maps names to entries, at its top or under a ``catalog`` key (as in facecheck.yaml).

    Raises:
        UsageError: ``extra`` is not there.
        ConfigError: it is not YAML of this shape, has an unknown key, or a wrong value; the
            message names the entry, the key and the nearest known one.
    """
    built_in = package_files("facecheck.data.sources") / "catalog.yaml"
    catalog = _parse(built_in.read_bytes(), "catalog.yaml")
    if extra is not None:
        if not extra.is_file():
            raise UsageError(f"no catalogue at {path_text(extra)}: check the path")
        try:
            content = extra.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path_text(extra)}: cannot be read: {reason(error)}") from None
        catalog |= _parse(content, path_text(extra))
    return catalog


def choose(catalog: Mapping[str, Source], names: Sequence[str]) -> list[Source]:
    """Return the named sources in the order given, or the default set when none is named.

    Raises:
        UsageError: a name is not in the catalogue; the message says the nearest.
    """
    if not names:
        return [source for source in catalog.values() if source.default]
    for name in names:
        if name not in catalog:
            raise UsageError(
                f"no source {name!r} in the catalogue{did_you_mean(name, catalog)}: it has "
                f"{', '.join(catalog)}"
            )
    return [catalog[name] for name in dict.fromkeys(names)]


def _parse(content: bytes, where: str) -> dict[str, Source]:
    stored = parse_yaml(content, where) or {}
    if isinstance(stored, dict) and isinstance(stored.get("catalog"), dict):
        stored = stored["catalog"]
    if not isinstance(stored, dict):
        raise ConfigError(f"{where}: must map names of sources to entries")
    return {str(name): _source(str(name), entry, where) for name, entry in stored.items()}


def _source(name: str, entry: Any, where: str) -> Source:
    where = f"{where}: {name}"
    if not re.fullmatch(_NAME, name) or name == "catalog":
        raise ConfigError(f"{where}: a name is made of lower-case letters, digits, dots and dashes")
    values = _checked(entry, Source, where, renamed={"handle": "handles"}, hidden={"name"})
    rules = tuple(
        _rule(rule, f"{where}: rule {number}")
        for number, rule in enumerate(values.pop("rules", ()), 1)
    )
    source = Source(name=name, rules=rules, **values)
    _check_source(source, where)
    return source


def _check_source(source: Source, where: str) -> None:
    if source.platform not in PLATFORMS:
        near = did_you_mean(source.platform, PLATFORMS)
        raise ConfigError(
            f"{where}: unknown platform {source.platform!r}{near}: one of {', '.join(PLATFORMS)}"
        )
    shape, example = HANDLES[source.platform]
    if not source.handles and source.platform != "manual":
        raise ConfigError(f"{where}: handle is missing: {example}")
    for handle in source.handles:
        if not re.fullmatch(shape, handle):
            raise ConfigError(f"{where}: handle {without_secrets(handle)!r} is not {example}")
    if not source.kinds:
        raise ConfigError(f"{where}: no rule gives a kind: the kinds are {', '.join(KINDS)}")
    if source.platform == "manual" and not source.instructions:
        raise ConfigError(f"{where}: instructions are missing: say how to get it")
    if source.mirrors and (source.platform != "http" or len(source.handles) != 1):
        raise ConfigError(f"{where}: mirrors are for http sources with one handle")
    if source.sha256 and len(source.sha256) != len(source.handles):
        raise ConfigError(f"{where}: sha256 must give one digest for each handle")
    for digest in source.sha256:
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ConfigError(f"{where}: sha256 {digest!r} is not 64 hex digits")
    for kind in source.expect:
        _check_kind(kind, f"{where}: expect")


def _rule(entry: Any, where: str) -> Rule:
    rule = Rule(**_checked(entry, Rule, where))
    if rule.kind is not None:
        _check_kind(rule.kind, where)
    elif not rule.exclude:
        raise ConfigError(f"{where}: give a kind, or exclude with the reason")
    if rule.exclude in _RESERVED_REASONS:
        raise ConfigError(f"{where}: exclude {rule.exclude!r} is dedup's own word: use another")
    try:
        known = {*FIELDS, *re.compile(rule.name).groupindex}
    except re.error as error:
        raise ConfigError(f"{where}: name {rule.name!r} is not a pattern: {error}") from None
    if repeats_what_varies(rule.name):
        raise ConfigError(
            f"{where}: name {rule.name!r} repeats what can itself match in several ways, which may "
            "take for ever: write the repeated part out"
        )
    for template in (rule.group, *rule.columns.values()):
        for name in template_fields(template) - known:
            near = did_you_mean(name, known)
            raise ConfigError(
                f"{where}: {{{name}}} is not a named group of `name`{near}: there are "
                f"{', '.join(sorted(known))}"
            )
    for column in rule.columns:
        if column in COLUMNS or not re.fullmatch(r"\w+", column):
            raise ConfigError(f"{where}: column {column!r} cannot be an extra column")
    return rule


def _check_kind(kind: str, where: str) -> None:
    if kind not in KINDS:
        raise ConfigError(
            f"{where}: unknown kind {kind!r}{near_kind(kind)}: the kinds are {', '.join(KINDS)}"
        )


def _checked(
    entry: Any,
    shape: type[Source] | type[Rule],
    where: str,
    *,
    renamed: Mapping[str, str] | None = None,
    hidden: frozenset[str] | set[str] = frozenset(),
) -> dict[str, Any]:
    """Return an entry's values under the field names of ``shape``, each of the field's type."""
    renamed = renamed or {}
    spelling = {name: key for key, name in renamed.items()}
    known = {
        spelling.get(item.name, item.name): item
        for item in fields(shape)
        if item.name not in hidden
    }
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: must map keys to values: the keys are {', '.join(known)}")
    values: dict[str, Any] = {}
    for key, value in entry.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}{did_you_mean(str(key), known)}")
        values[known[key].name] = _of_type(value, str(known[key].type), f"{where}: {key}")
    for key, item in known.items():
        required = item.default is MISSING and item.default_factory is MISSING
        if required and item.name not in values:
            raise ConfigError(f"{where}: {key} is missing")
    return values


def _of_type(value: Any, wanted: str, where: str) -> Any:
    """Return a YAML value as the annotated type of a field."""
    if wanted == "tuple[str, ...]":
        items = [value] if isinstance(value, str) else value
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return tuple(items)
        raise ConfigError(f"{where}: must be text or a list of texts, not {value!r}")
    simple: dict[str, tuple[type | tuple[type, ...], str]] = {
        "str": (str, "text"),
        "str | None": ((str, type(None)), "text"),
        "bool": (bool, "true or false"),
        "int | None": ((int, type(None)), "a whole number"),
        "tuple[Rule, ...]": (list, "a list of rules"),
        "Mapping[str, str]": (dict, "names with texts"),
        "Mapping[str, int]": (dict, "names with whole numbers"),
        "Mapping[str, Any]": (dict, "names with values"),
    }
    kinds, words = simple[wanted]
    inner = {"Mapping[str, str]": str, "Mapping[str, int]": int}.get(wanted, object)
    right = isinstance(value, kinds) and not (wanted.startswith("int") and value in (True, False))
    if not right or (isinstance(value, dict) and not _all_text_to(value, inner)):
        raise ConfigError(f"{where}: must be {words}, not {value!r}")
    if wanted.startswith("int") and isinstance(value, int) and value < 0:
        raise ConfigError(f"{where}: must not be negative, but is {value}")
    return value


def _all_text_to(value: Mapping[Any, Any], inner: type) -> bool:
    return all(isinstance(key, str) and isinstance(item, inner) for key, item in value.items())
