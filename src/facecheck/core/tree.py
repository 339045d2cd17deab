"""Walk folders for the files in them, in one order everywhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field, fields
from pathlib import Path

from facecheck.core.files import path_text
from facecheck.core.text import printable

#: Where something lies, however its path is spelled: device and inode of a folder, and the name of
#: a file in it, or "" for the folder itself.
Place = tuple[int, int, str]

#: Marks folders in a list of names: no name holds it, and it sorts before all that names hold.
_FOLDER = "\0"


#: Folders that a NAS or an operating system makes for thumbnails, waste and snapshots, in lower
#: case. What they hold are copies of the user's files, or what the user threw away.
MACHINE_MADE = frozenset(
    (
        *("@eadir", "#recycle", "#snapshot", "@tmp", "@sharesnap"),  # Synology
        *("@recycle", "@recently-snapshot", "@__thumb", ".@__thumb"),  # QNAP
        *("$recycle.bin", "recycler", "system volume information"),  # Windows
        *("__macosx", ".trashes", ".trash", ".thumbnails", "lost+found"),  # macOS, Linux
    )
)


@dataclass
class Skipped:
    """What a walk skipped, counted on the way.

    Attributes:
        links: links to folders that were not followed, or lead back to where they came from.
        unlistable: folders that could not be listed, as a whole or to the end.
        machine_made: folders of thumbnails and waste that a NAS or a system makes
            (:data:`MACHINE_MADE`).
        hidden: files and folders whose names begin with a dot, but for our own.
        archives: archives in folders that were not opened.
        ignored: files whose names do not end like an image's.
        excluded: images that the globs leave out, but for those in folders that they leave out.
        special: pipes, sockets and devices.
        no_videos: where videos are scanned, files whose names do not end like a video's.
        first: of each of these, the path of the first.
    """

    links: int = 0
    unlistable: int = 0
    machine_made: int = 0
    hidden: int = 0
    archives: int = 0
    ignored: int = 0
    excluded: int = 0
    special: int = 0
    no_videos: int = 0
    first: dict[str, str] = field(default_factory=dict)

    def count(self, what: str, path: str) -> None:
        """Count one more of ``what``, the name of a count, found at ``path``."""
        setattr(self, what, getattr(self, what) + 1)
        self.first.setdefault(what, path_text(path))

    def clear(self) -> None:
        """Count from zero again."""
        Skipped.__init__(self)

    def cannot_list(self, folder: str, _error: Exception) -> None:
        """Count a folder that could not be listed."""
        self.count("unlistable", folder)

    def counts(self) -> dict[str, int]:
        """Return what was skipped, by the name of the count, without those that are zero."""
        numbers = {each.name: getattr(self, each.name) for each in fields(self)[:-1]}
        return {name: number for name, number in numbers.items() if number}


class Noted(Skipped):
    """What was skipped, each told as well, but for what is meant to be: hidden and excluded files.

    Args:
        note: called with the path and a reason, for a table of rejects.
    """

    def __init__(self, note: Callable[[str, str], None]) -> None:
        super().__init__()
        self._note = note

    def count(self, what: str, path: str) -> None:
        """Count one more of ``what``, and note it."""
        super().count(what, path)
        if what not in {"hidden", "excluded"}:
            self._note(path_text(path), f"skipped: {skipped_word(what)}")


#: How each count is said, of one and of several, and what would take them.
_SENTENCES = {
    "links": ("link to a folder", "links to folders", "pass --follow"),
    "unlistable": ("folder that cannot be listed", "folders that cannot be listed", ""),
    "machine_made": (
        "folder of thumbnails or waste",
        "folders of thumbnails or waste",
        "name such a folder itself to take it",
    ),
    "hidden": ("hidden file or folder", "hidden files and folders", ""),
    "archives": ("archive", "archives", "name or unpack it"),
    "ignored": (
        "file whose name does not end like an image's",
        "files whose names do not end like an image's",
        "",
    ),
    "excluded": ("image that the globs leave out", "images that the globs leave out", ""),
    "special": ("pipe, socket or device", "pipes, sockets and devices", ""),
    "no_videos": (
        "file whose name does not end like a video's",
        "files whose names do not end like a video's",
        "",
    ),
}


def skipped_word(what: str) -> str:
    """Return what one thing that was skipped is, by the name of its count."""
    return _SENTENCES[what][0]


def skipped_sentences(skipped: Skipped) -> list[str]:
    """Return for each thing that was skipped how many there were, the first, and what to do."""
    sentences = []
    for name, number in skipped.counts().items():
        one, several, hint = _SENTENCES[name]
        hint = f" ({hint})" if hint else ""
        first = f", {'such as ' if number > 1 else ''}{printable(skipped.first[name])}"
        sentences.append(f"{number:,} {several if number > 1 else one}{first}{hint}")
    return sentences


def no_images(where: str, skipped: Skipped) -> str:
    """Return the message that a walk found no images, with what it skipped, and what to check."""
    others = "; ".join(skipped_sentences(skipped))
    fix = "the patterns" if skipped.excluded else "the folder, or the endings of its files"
    return f"no images in {where}{f' (skipped {others})' if others else ''}: check {fix}"


def is_machine_made(name: str) -> bool:
    """Return whether a NAS or a system makes folders of this name, see :data:`MACHINE_MADE`."""
    return name.lower() in MACHINE_MADE


def _everything(_path: str) -> bool:
    return True


def walk(
    folder: str,
    skipped: Skipped,
    cannot_list: Callable[[str, OSError], None],
    *,
    takes: Callable[[str], bool] = _everything,
    enters: Callable[[str], bool] = _everything,
    hidden: bool = False,
    follow: bool = False,
    elsewhere: Set[Place] = frozenset(),
) -> Iterator[tuple[str, os.stat_result | None]]:
    """Yield path and status of each file under ``folder``, depth first, names in byte order.

    Folders that a NAS or a system makes for itself are not entered; ``folder`` itself always is.

    Lazy: a folder is listed when its turn comes, and memory holds the names that are left in the
    folders on the way to it. The status is None where it cannot be had, as of a dangling link:
    whoever opens the file reports it, rather than nobody.

    Args:
        folder: where to begin.
        skipped: counts what is skipped.
        cannot_list: called for each folder that cannot be listed, or not to the end; may raise.
        takes: whether to yield a file, by its path.
        enters: whether to enter a folder, by its path.
        hidden: do not skip names that begin with a dot.
        follow: enter folders behind symbolic links, but for those that lead back. A link to a file
            always counts as that file.
        elsewhere: files and folders to leave out: they are listed by someone else.
    """

    def listed(path: str) -> list[str]:
        """Return the names of one folder, the last first, so that each can be popped in turn."""
        names = []
        try:
            inside = place_of_folder(path)[:2] if elsewhere else None
            with os.scandir(path or ".") as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith(".") and not hidden:
                        if not name.startswith(".facecheck"):
                            skipped.count("hidden", path + name)
                        continue
                    is_link = entry.is_symlink()
                    if entry.is_file(follow_symlinks=False) or (is_link and not _is_folder(entry)):
                        if not (inside and (*inside, name) in elsewhere) and takes(path + name):
                            names.append(name)
                    elif is_machine_made(name):
                        skipped.count("machine_made", path + name)
                    elif is_link and not follow:
                        skipped.count("links", path + name)
                    elif is_link or entry.is_dir():
                        if enters(path + name):
                            names.append(name + _FOLDER)
                    else:
                        skipped.count("special", path + name)
        except OSError as error:
            cannot_list(path, error)
        names.sort(key=os.fsencode, reverse=True)
        return names

    start = folder_prefix(folder)
    way = [(start, listed(start))]
    while way:
        prefix, names = way[-1]
        if not names:
            way.pop()
            continue
        path = prefix + names.pop()
        if path.endswith(_FOLDER):
            inner = path.removesuffix(_FOLDER) + os.sep
            if follow and _leads_back(inner, [above for above, _ in way]):
                skipped.count("links", path.removesuffix(_FOLDER))
            elif not elsewhere or _folder_or_nothing(inner) not in elsewhere:
                way.append((inner, listed(inner)))
            continue
        status = _status(path)
        if status is None or stat.S_ISREG(status.st_mode):
            yield path, status
        else:  # a link to one, or what took a file's place since
            skipped.count("special", path)


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield every regular file under ``folder``, depth first, names in byte order.

    Hidden files and folders (a leading dot) and folders that a NAS or a system makes for itself
    are skipped, without being counted, and folders behind symbolic links are not entered, so no
    loop is possible; a link to a regular file counts as that file. Sockets, pipes and devices are
    never opened. Folders that may not be listed are skipped.
    """
    for path, _ in walk(os.fspath(folder), Skipped(), _skip_forbidden):
        yield Path(path)


def _skip_forbidden(_folder: str, error: OSError) -> None:
    if not isinstance(error, PermissionError):
        raise error


def folder_prefix(folder: str) -> str:
    """Return what the paths of the files in ``folder`` begin with: ``""`` in ``.``."""
    normal = os.fspath(Path(folder))
    return "" if normal == "." else os.path.join(normal, "")  # noqa: PTH118


def place_of_folder(path: str) -> Place:
    """Return where a folder lies.

    Raises:
        OSError: it is not there.
    """
    status = os.stat(path or ".")  # noqa: PTH116
    return status.st_dev, status.st_ino, ""


def place_of_file(path: str) -> Place:
    """Return where a file lies; a link to a file is a place of its own.

    Raises:
        OSError: its folder is not there.
    """
    folder, name = os.path.split(path)
    return (*place_of_folder(folder)[:2], name)


def _is_folder(link: os.DirEntry[str]) -> bool:
    try:
        return link.is_dir()
    except OSError:  # a link in a circle, or to where we may not look
        return False


def _leads_back(path: str, way: list[str]) -> bool:
    if not os.path.islink(path.rstrip(os.sep)):  # noqa: PTH114
        return False
    place = _folder_or_nothing(path)
    return place is not None and any(_folder_or_nothing(above) == place for above in way)


def _folder_or_nothing(path: str) -> Place | None:
    try:
        return place_of_folder(path)
    except OSError:
        return None


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116
    except OSError:
        return None
