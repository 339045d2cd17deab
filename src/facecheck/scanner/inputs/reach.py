"""Which files the rows of results may name: results may be a stranger's, and rows name any file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from facecheck.core.errors import ImageError
from facecheck.core.files import name_text, named_path, open_regular, to_path, to_paths
from facecheck.core.formats import HEAD, identify
from facecheck.scanner.inputs.items import INSIDE, STDIN, Item
from facecheck.scanner.inputs.remote import is_address
from facecheck.scanner.results.sink import read_meta

#: The key of ``.meta.json`` that says which folders and files were scanned.
ROOTS = "roots"
#: The key of ``.meta.json`` that says where a scan ran: its relative names are of that folder.
FOLDER = "folder"


@dataclass(frozen=True)
class Reach:
    """What rows may name.

    Attributes:
        roots: folders and files, absolute; what lies below them may be named. None: everything.
        addresses: whether addresses may be named, too.
    """

    roots: tuple[str, ...] | None = None
    addresses: bool = True

    def check(self, name: str) -> None:
        """Raise for a name that is out of reach.

        Raises:
            ImageError: it says why, and what to pass.
        """
        if self.roots is None:
            return
        path = named_path(name)
        if not os.path.lexists(path):
            if is_address(name):
                if not self.addresses:
                    raise ImageError("an address, which is fetched only with --addresses")
                return
            path = named_path(name.partition(INSIDE)[0])
        # Where ".." leads depends on links, so these are followed then.
        place = os.path.realpath(path) if ".." in path.parts else os.path.abspath(path)  # noqa: PTH100
        if not any(_is_below(place, root) for root in self.roots):
            raise ImageError("not in a folder that was scanned: name its folder with --root")

    def check_content(self, content: Path | bytes) -> None:
        """Raise for what is no image by its content.

        Raises:
            ImageError: it is none, or cannot be read.
        """
        if self.roots is None:
            return
        if isinstance(content, bytes):
            head = content[:HEAD]
        else:
            try:
                with open_regular(content) as stream:
                    head = stream.read(HEAD)
            except OSError as error:
                raise ImageError(str(error.strerror or error)) from None
        kind = identify(head)
        if kind is None or not kind.image:
            raise ImageError("not an image, whatever the results say of it")


#: The reach of results that this process made itself, or that its caller trusts.
EVERYWHERE = Reach()


def reach_of(
    results: Path | str,
    roots: Path | str | Iterable[Path | str] = (),
    *,
    addresses: bool = False,
) -> Reach:
    """Return what results may name: what their ``.meta.json`` says was scanned, and ``roots``."""
    known = read_meta(to_path(results, "the results")).get(ROOTS)
    names = [name for name in known if isinstance(name, str)] if isinstance(known, list) else []
    told = [os.fspath(named_path(name)) for name in names]
    return Reach((*told, *(os.path.abspath(root) for root in to_paths(roots, "roots"))), addresses)  # noqa: PTH100


def _is_below(place: str, root: str) -> bool:
    return place == root or place.startswith(os.path.join(root, ""))  # noqa: PTH118


class Roots:
    """The folders and files of a scan, absolute, for its ``.meta.json``.

    Of a list and of a manifest, which name single files, it is the folder that all of them share;
    none where that is the root of the file system.
    """

    def __init__(self, inputs: Sequence[Path | str], *, lists: bool) -> None:
        paths = [each for each in inputs if str(each) != STDIN and not is_address(str(each))]
        self._named = [os.path.abspath(each) for each in paths]  # noqa: PTH100
        self._lists = lists or STDIN in map(str, inputs)
        self._last = self._common = ""

    def noting(self, items: Iterable[Item | None]) -> Iterator[Item | None]:
        """Yield items as they come, and note the folder that those of lists share."""
        for item in items:
            if self._lists and item is not None and item.source is not None:
                self._note(os.path.dirname(os.path.abspath(item.source)))  # noqa: PTH100, PTH120
            yield item

    def _note(self, folder: str) -> None:
        if folder != self._last:
            self._last = folder
            self._common = os.path.commonpath([self._common or folder, folder])

    def names(self) -> list[str]:
        """Return them as :func:`~facecheck.core.files.name_text` writes them."""
        shared = [self._common] if self._common not in {"", os.sep} else []
        return [name_text(each) for each in dict.fromkeys([*self._named, *shared])]
