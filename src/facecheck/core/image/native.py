"""Native decoders' own messages, kept off the terminal: they name no file, and a row says more."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path

import PIL


def silence_libtiff() -> None:
    """Take from libtiff the handlers that write its errors and warnings to standard error.

    Pillow leaves them there; it raises an exception of its own as well. Where the library is not
    found, the messages stay.
    """
    for path in _libraries("libtiff"):
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(path)
            for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
                setter = getattr(library, name)
                setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
                setter(None)


def _libraries(name: str) -> set[str]:
    """Return the files of a library that Pillow may use: its own, or the system's."""
    folder = Path(PIL.__file__).parent
    bundled = (folder.parent / "pillow.libs", folder / ".dylibs")
    found = {str(path) for place in bundled for path in place.glob(f"{name}*")}
    if not found and sys.platform == "linux":
        with suppress(OSError):
            lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
            found = {line.split()[-1] for line in lines if f"/{name}" in line}
    return found
