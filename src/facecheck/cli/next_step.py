"""What to run next, as a command with the paths of what was just made."""

from __future__ import annotations

import shlex
from pathlib import Path

from facecheck.core.files import path_text
from facecheck.core.workspace import BEST, MANIFEST, builtin_name


def command_on(name: str, what: Path, manifest: Path = MANIFEST) -> str:
    """Return a command as the shell takes it.

    Args:
        name: the command's.
        what: a checkpoint, which is called by its run's folder or as the built-in one; or results.
        manifest: named by its option, unless it is the workspace's own.
    """
    called = builtin_name(what) or path_text(what.parent if what.name == BEST else what)
    option = [] if manifest == MANIFEST else ["--manifest", path_text(manifest)]
    return shlex.join(["facecheck", name, called, *option])
