"""The project file: defaults for the commands run in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facecheck.core.errors import ConfigError, did_you_mean
from facecheck.core.files import path_text
from facecheck.core.options import Trust
from facecheck.core.spelling import respelled
from facecheck.core.yaml_files import read_yaml

#: The key that stands among the commands, for all that know sources.
CATALOG = "catalog"


def read_settings(
    path: Path, known: Mapping[str, Mapping[str, Trust]], *, named: bool = False
) -> dict[str, dict[str, Any]]:
    """Read a project file: for each command, values of its options.

    Args:
        path: the file; when it is not there, there are no settings.
        known: the options of each command, in the spelling of its flags without dashes in front,
            and who may set them.
        named: whether the user named the file. One that is found in the current folder may be a
            stranger's.

    Returns:
        by command, by option with underscores for dashes; a value is text as on the command
        line, or a list of texts. The key ``catalog`` among the commands
        is an option of each command that has it: a file's path, relative to the project file, or
        the entries themselves, for which the project file stands.

    Raises:
        ConfigError: the file is not YAML of this shape, has a key that no command has (the
            message names the nearest one), or sets what such a file may not.
    """
    if not path.is_file():
        return {}
    name = path_text(path)
    stored = read_yaml(path, as_text=True) or {}
    if not isinstance(stored, dict):
        raise ConfigError(f"{name}: must map commands to options, such as `train: {{epochs: 5}}`")
    catalog = stored.pop(CATALOG, None)
    if not isinstance(catalog, str | dict | None):
        raise ConfigError(f"{name}: {CATALOG}: must be a file's path, or map sources to entries")
    settings: dict[str, dict[str, Any]] = {}
    if catalog is not None:
        place = path if isinstance(catalog, dict) else path.parent / catalog
        settings = {
            command: {CATALOG: str(place)} for command in known if CATALOG in known[command]
        }
    for command, options in stored.items():
        if command not in known:
            raise ConfigError(
                f"{name}: unknown command {command!r}{did_you_mean(str(command), known)}"
            )
        if not isinstance(options, dict):
            raise ConfigError(f"{name}: {command}: must map options to values")
        spelled = {respelled(str(name), known[command]): value for name, value in options.items()}
        for option in spelled:
            if option not in known[command]:
                near = did_you_mean(str(option), known[command])
                raise ConfigError(f"{name}: {command}: unknown option {option!r}{near}")
            _check_trust(f"{name}: {command}", option, known[command][option], path, named)
        given = {option.replace("-", "_"): value for option, value in spelled.items()}
        settings[command] = {**settings.get(command, {}), **given}
    return settings


def _check_trust(where: str, option: str, trust: Trust, path: Path, named: bool) -> None:
    """Raise :class:`ConfigError` for an option that this project file may not set."""
    if trust is Trust.NO_FILE:
        raise ConfigError(f"{where}: {option!r} is your consent, not a file's: pass --{option}")
    if trust is Trust.NAMED and not named:
        raise ConfigError(
            f"{where}: {option!r} says where files are written or taken from: pass --{option}, or "
            f"trust the file by naming it: facecheck --config {path_text(path)}"
        )
