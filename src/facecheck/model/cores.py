"""Forward passes on the cores of a CPU, whose numbers do not depend on how many cores there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np

from facecheck.core.parallel import cpu_count
from facecheck.model.metrics import Floats
from facecheck.model.predict import Finish, Pixels

Output = TypeVar("Output")

#: Crops of one run of torch.
RUN = 4


class Cores:
    """Cores that each run one crop at a time, alone.

    A library that spreads one run over several cores adds up in another order with each number of
    them, and a score's sixth decimal moves. Runs of a core's own are as fast as one run of many on
    all cores where these are free, and take a third less work where they also decode, since no core
    waits for another; in a fraction of the memory. Of several crops, what a layer gives does not
    fit a core's cache: a run of four takes a fifth longer for each.

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
            run: returns logits and features, or None, of the crops of one run, on one core.
            pixels: shape (M, image_size, image_size, 3).
        """
        outputs = self.run_each(run, pixels)

        def finish() -> tuple[Floats, Floats | None]:
            logits, features = zip(*outputs, strict=True)
            seen = None if features[0] is None else np.concatenate(features)[: len(pixels)]
            return np.concatenate(logits)[: len(pixels)], seen

        return finish

    def run_each(self, run: Callable[[Pixels], Output], pixels: Pixels) -> Iterator[Output]:
        """Begin with crops, and return what ``run`` gives for those of each run, in order."""
        return self._pool.map(run, self._runs(pixels))

    def _runs(self, pixels: Pixels) -> list[Pixels]:
        return [pixels[at : at + 1] for at in range(len(pixels))]


class TorchCores(Cores):
    """Cores on which torch runs; other threads keep the number of cores that it gives them.

    A run has always :data:`RUN` crops, empty ones at its end: of one crop torch makes other numbers
    than of the same one among four (by 1e-5 in a logit), but whichever these are, and wherever it
    stands among them, the same ones.
    """

    def __init__(self, threads: int | None = None) -> None:
        import torch

        torch.get_num_threads()  # a thread takes its number with its first work, and keeps it
        super().__init__(threads, partial(torch.set_num_threads, 1))

    def _runs(self, pixels: Pixels) -> list[Pixels]:
        empty = np.zeros((-len(pixels) % RUN, *pixels.shape[1:]), pixels.dtype)
        whole = np.concatenate([pixels, empty])
        return [whole[at : at + RUN] for at in range(0, len(whole), RUN)]
