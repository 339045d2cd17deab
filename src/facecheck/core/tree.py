"""Walk folders for the files in them, in one order everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield every regular file under ``folder``, depth first, names in code-point order.

    Hidden files and folders (a leading dot) are passed over, and folders behind symbolic links
    are not entered, so no loop is possible; a link to a regular file counts as that file.
    Sockets, pipes and devices are never opened. Folders that may not be listed are passed over.
    """
    try:
        with os.scandir(folder) as entries:
            children = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except PermissionError:
        return
    for child in children:
        if child.name.startswith("."):
            continue
        if child.is_dir(follow_symlinks=False):
            yield from walk_files(Path(child.path))
        elif child.is_file() or _leads_nowhere(child):
            yield Path(child.path)


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    # Yielded too: whoever opens a dangling link reports it, rather than nobody.
    return entry.is_symlink() and not Path(entry.path).exists()
