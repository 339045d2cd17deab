"""Forward passes on the cores of a CPU, whose numbers do not depend on how many cores there are."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from facecheck.core.parallel import cpu_count
from facecheck.model.metrics import Floats
from facecheck.model.predict import Finish, Pixels

#: Crops of one run. Each core runs its own few, alone: a library that spreads one run over several
#: cores adds up in another order with each number of them, and a score's sixth decimal moves. It is
#: as fast as one run of many on all cores where these are free, and takes a third less work where
#: they also decode, since no core waits for another; in a fraction of the memory.
RUN = 4


class Cores:
    """Cores that each run a few crops at a time.

    Args:
        threads: how many; None: one per core of the machine.
        begin: called by each thread before its first run.
    """

    def __init__(self, threads: int | None = None, begin: Callable[[], None] | None = None) -> None:
        self._pool = ThreadPoolExecutor(
            threads or cpu_count(), thread_name_prefix="facecheck-core", initializer=begin
        )

    def begin(
        self, run: Callable[[Pixels], tuple[Floats, Floats | None]], pixels: Pixels
    ) -> Finish:
        """Begin with crops, and return what waits for all of them.

        Args:
            run: returns logits and features, or None, of :data:`RUN` crops or fewer, on one core.
            pixels: shape (M, image_size, image_size, 3).
        """
        runs = [pixels[start : start + RUN] for start in range(0, len(pixels), RUN)]
        outputs = self._pool.map(run, runs)

        def finish() -> tuple[Floats, Floats | None]:
            logits, features = zip(*outputs, strict=True)
            seen = None if features[0] is None else np.concatenate(features)
            return np.concatenate(logits), seen

        return finish


class TorchCores(Cores):
    """Cores on which torch runs; other threads keep the number of cores that it gives them."""

    def __init__(self, threads: int | None = None) -> None:
        import torch

        torch.get_num_threads()  # a thread takes its number with its first work, and keeps it
        super().__init__(threads, partial(torch.set_num_threads, 1))
