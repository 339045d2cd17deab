"""Which of the files in a folder are taken: one rule for scan, index and fetch."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from os import stat_result

from facecheck.core import tree
from facecheck.core.common_options import FolderOptions
from facecheck.core.formats import is_image_name
from facecheck.core.globs import Globs, read_globs

#: Endings of the names of archives. WebDataset shards are tar files.
ARCHIVE_ENDINGS = (
    *(".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz"),
)


def is_archive_name(name: str) -> bool:
    """Return whether ``name`` ends like one of a zip or tar archive."""
    return name.lower().endswith(ARCHIVE_ENDINGS)


@dataclass(frozen=True)
class Selection:
    """What to take of a folder, and a count of what is skipped.

    Attributes:
        globs: choose among the files, by their paths from the folder on.
        hidden: take hidden files and folders too.
        follow: enter folders behind links.
        archives: take archives as well as images.
        skipped: what was skipped so far.
    """

    globs: Globs
    hidden: bool = False
    follow: bool = False
    archives: bool = False
    skipped: tree.Skipped = field(default_factory=tree.Skipped)

    def takes(self, path: str, start: int = 0) -> bool:
        """Return whether to take a file by its name; count it if not.

        Args:
            path: its path.
            start: where in it the path from the folder on begins.
        """
        inner = path[start:]
        if is_image_name(inner):
            taken = self.globs.takes(inner)
        elif not is_archive_name(inner):
            self.skipped.count("ignored", path)
            return False
        elif not self.archives:
            self.skipped.count("archives", path)
            return False
        else:  # among what is in it, the globs to include choose later
            taken = not self.globs.excludes(inner)
        return self._counted(taken, path)

    def takes_named(self, path: str) -> bool:
        """Return whether to take a file that is named itself, whatever its ending."""
        inner = path.removeprefix("./")
        taken = self.globs.takes(inner) or (
            is_archive_name(path) and not self.globs.excludes(inner)
        )
        return self._counted(taken, path)

    def takes_any(self, path: str, start: int = 0) -> bool:
        """Return whether the globs take a file, whatever its ending; the arguments of ``takes``."""
        return self._counted(self.globs.takes(path[start:]), path)

    def enters(self, folder: str) -> bool:
        """Return whether the globs let a folder be entered, by its path from the top."""
        return not self.globs.excludes(f"{folder}/")

    def _counted(self, taken: bool, path: str) -> bool:
        if not taken:
            self.skipped.count("excluded", path)
        return taken

    def walk(
        self,
        folder: str,
        *,
        every_ending: bool = False,
        elsewhere: Set[tree.Place] = frozenset(),
    ) -> Iterator[tuple[str, stat_result | None]]:
        """Yield path and status of each file to take under ``folder``, as :func:`tree.walk` does.

        Args:
            folder: where to begin.
            every_ending: take files whose names do not end like an image's as well.
            elsewhere: files and folders that are listed by someone else.
        """
        start = len(tree.folder_prefix(folder))
        takes = self.takes_any if every_ending else self.takes
        return tree.walk(
            folder,
            self.skipped,
            self.skipped.cannot_list,
            takes=lambda path: takes(path, start),
            enters=lambda path: self.enters(path[start:]),
            hidden=self.hidden,
            follow=self.follow,
            elsewhere=elsewhere,
        )


def everything(skipped: tree.Skipped | None = None) -> Selection:
    """Return the selection that takes every file that is not hidden, and counts what it skips."""
    return Selection(read_globs((), ()), skipped=skipped or tree.Skipped())


def select(options: FolderOptions, *, hidden: bool = False, archives: bool = False) -> Selection:
    """Return the selection that a command's options ask for.

    Raises:
        UsageError: a glob is empty, or begins with ``!``.
    """
    globs = read_globs(options.include, options.exclude)
    return Selection(globs, hidden=hidden, follow=options.follow, archives=archives)
