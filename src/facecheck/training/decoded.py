"""Decoded images in one block of memory, which all processes of a training on a machine share.

The block is a file without a name that each process maps, and is gone with the last of them:
nothing on disk can grow stale. Each image has a slot for the largest that it can be; what is not
written takes no memory.
"""

from __future__ import annotations

import mmap
import os
import threading
import weakref

import numpy as np

from facecheck.training.augment import Pixels
from facecheck.training.distributed import Ranks

#: Bytes of the size that stands at the block's start for each image: rows, columns; 0 without one.
_SIZE = 8


class DecodedImages:
    """Pixels by an image's number, as long as there is room.

    Args:
        count: images.
        resize: their short side, in pixels; the long one is at most twice that.
        memory: bytes that this process may fill.
        ranks: the processes that train together; those of one machine share the block.
    """

    def __init__(self, count: int, resize: int, memory: int, ranks: Ranks = Ranks()) -> None:
        self._head = _pages(count * _SIZE)
        self._slot = _pages(3 * resize * 2 * resize)
        self._map = _shared_map(self._head + count * self._slot, ranks)
        self._sizes = np.frombuffer(self._map, np.uint64, count)
        self._room = memory
        self._lock = threading.Lock()

    def get(self, number: int) -> Pixels | None:
        """Return an image's pixels, shape (height, width, 3), not to be written to, or None."""
        height, width = divmod(int(self._sizes[number]), 2**32)
        return self._view(number, (height, width, 3)) if height else None

    def keep(self, number: int, pixels: Pixels) -> None:
        """Keep an image's pixels, if there is room for them."""
        height, width, _ = pixels.shape
        taken = _pages(pixels.nbytes)
        with self._lock:
            if taken > self._room:
                return
            self._room -= taken
        self._view(number, pixels.shape)[:] = pixels
        # Last, since other processes read what has a size; two that write one write the same.
        with self._lock:
            self._sizes[number] = height * 2**32 + width

    def _view(self, number: int, shape: tuple[int, ...]) -> Pixels:
        start = self._head + number * self._slot
        return np.frombuffer(self._map, np.uint8, int(np.prod(shape)), start).reshape(shape)


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _shared_map(size: int, ranks: Ranks) -> mmap.mmap:
    """Map a block that is empty, or that of the machine's first process."""
    if not hasattr(os, "memfd_create"):  # not Linux: each process has its own
        return mmap.mmap(-1, size)
    descriptor = os.memfd_create("facecheck-decoded")
    os.ftruncate(descriptor, size)
    if ranks.local_world > 1:
        files = ranks.gather(f"/proc/{os.getpid()}/fd/{descriptor}")
        if ranks.local:
            os.close(descriptor)
            descriptor = os.open(files[ranks.rank - ranks.local], os.O_RDWR)
    block = mmap.mmap(descriptor, size)
    weakref.finalize(block, os.close, descriptor)  # open until then, for the others to find
    return block
