"""What stands behind the flags: environment variables, and the project file.

Both know an option by its flag: ``--batch-size`` of ``train`` is ``FACECHECK_TRAIN_BATCH_SIZE``,
and ``train: {batch-size: 8}``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from facecheck.cli.flags import trust_of
from facecheck.core.errors import ConfigError, UsageError, did_you_mean
from facecheck.core.files import path_text
from facecheck.core.options import Trust
from facecheck.core.workspace import PROJECT_FILE, VARIABLES

_PREFIX = "FACECHECK_"


def name_variables(parameters: list[Any], prefix: str | None) -> list[Any]:
    """Return a command's parameters, each told the variable that sets it; no help repeats it."""
    for parameter in parameters:
        parameter.show_envvar = False
        flag = _flag(parameter)
        if flag and prefix:
            parameter.envvar = _variable(prefix, flag)
    return parameters


def refuse_unknown_variables(group: Any) -> None:
    """Raise :class:`UsageError` if a variable that begins with ``FACECHECK_`` sets nothing."""
    found = sorted(name for name in os.environ if name.startswith(_PREFIX))
    known = {*VARIABLES, *_variables(group)} if found else set()
    for name in found:
        if name not in known:
            raise UsageError(
                f"the variable {name} sets no option{did_you_mean(name, known)}: correct its "
                "name, or unset it"
            )


def read_defaults(path: Path, group: Any, *, named: bool) -> dict[str, Any]:
    """Return the defaults in a project file, in the nested shape that click takes.

    Args:
        path: the file.
        group: all commands.
        named: whether the user named the file; one that is found may not set everything.

    Raises:
        ConfigError: as :func:`~facecheck.core.settings.read_settings`; or an option is given
            several values, and takes one.
    """
    from facecheck.core.settings import read_settings

    parameters = {words: by_flag(command) for words, command in all_commands(group)}
    known = {words: _trust(command, parameters[words]) for words, command in all_commands(group)}
    defaults: dict[str, Any] = {}
    for words, options in read_settings(path, known, named=named).items():
        *groups, command = words.split(" ")
        inner = defaults
        for name in groups:
            inner = inner.setdefault(name, {})
        values = inner.setdefault(command, {})
        for option, value in options.items():
            flag = option.replace("_", "-")
            parameter = parameters[words][flag]
            values[parameter.name] = _value(value, parameter, f"{path_text(path)}: {words}: {flag}")
    return defaults


def value_given(context: Any, parameter: Any) -> tuple[str, Any]:
    """Return what set a parameter of a command, as its user knows it, and to which value.

    It is a flag, a variable, or ``facecheck.yaml: train: epochs``; a value that the command line
    does not hold is None.
    """
    flag = _flag(parameter)
    source = context.get_parameter_source(parameter.name)
    if source is not None and source.name == "ENVIRONMENT":
        return parameter.envvar, os.environ.get(parameter.envvar)
    if source is not None and source.name == "DEFAULT_MAP":
        file = path_text(context.find_root().params.get("config", PROJECT_FILE))
        command = context.command_path.partition(" ")[2]
        return f"{file}: {command}: {flag}", context.lookup_default(parameter.name, call=False)
    value = None
    for at, word in enumerate(sys.argv):
        name, equals, inside = word.partition("=")
        if name in parameter.opts:
            value = inside if equals else " ".join(sys.argv[at + 1 :][: parameter.nargs])
    return f"--{flag}" if flag else str(parameter.name), value


def _value(value: Any, parameter: Any, where: str) -> Any:
    """Return a value as click takes it: a list where an option may be repeated, else one text."""
    several = parameter.multiple or parameter.nargs != 1
    if isinstance(value, str) and parameter.multiple:
        return [value]
    texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
    if value is None or isinstance(value, str) or (several and texts):
        return value
    wanted = "one value, or a list of them" if parameter.multiple else "one value"
    raise ConfigError(f"{where}: must be {wanted}, not {value!r}")


def _trust(command: Any, parameters: Mapping[str, Any]) -> dict[str, Trust]:
    """Return who may set each option, by its flag."""
    trust = trust_of(command.callback)
    return {flag: trust.get(item.name, Trust.ANY) for flag, item in parameters.items()}


def _flag(parameter: Any) -> str:
    """Return the flag of a parameter without its dashes; empty for an argument."""
    long = [flag for flag in parameter.opts if flag.startswith("--")]
    return long[0].removeprefix("--") if long else ""


def _variable(prefix: str, words: str) -> str:
    return f"{prefix}_{words}".upper().replace("-", "_").replace(" ", "_")


def _variables(group: Any) -> Iterator[str]:
    for words, command in [("", group), *all_commands(group)]:
        prefix = _variable(_PREFIX.removesuffix("_"), words).removesuffix("_")
        yield from (_variable(prefix, flag) for flag in by_flag(command) if flag != "version")


def by_flag(command: Any) -> dict[str, Any]:
    """Return the parameter behind each flag, such as that of ``origin`` behind ``from``."""
    return {
        flag.removeprefix("--"): parameter
        for parameter in command.params
        for flag in parameter.opts
        if flag.startswith("--") and flag != "--help"
    }


def all_commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each command, loaded, with the words it is called by, such as ``generate train``."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from all_commands(command, f"{before}{name} ")
        else:
            yield before + name, command.loaded
