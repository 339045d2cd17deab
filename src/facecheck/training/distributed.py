"""Several processes, started by ``torchrun``, that train one model together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed

from facecheck.core.errors import UsageError, reason


@dataclass(frozen=True)
class Ranks:
    """This process among all that train together.

    Attributes:
        rank: 0 for the one that writes.
        world: how many there are.
        local: this one's number on its machine.
        local_world: how many there are on its machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 0
    local_world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """Return every process's ``value`` by rank, in every process."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        distributed.all_gather_object(values, value)
        return values

    def share(self, value: Any) -> Any:
        """Return the first process's ``value``, in every process."""
        return self.gather(value)[0]


@contextmanager
def join_ranks(device: torch.device) -> Iterator[Ranks]:
    """Join the other processes that ``torchrun`` started, and leave them at the end.

    Speaks NCCL between GPUs, else gloo. Without ``torchrun`` there is one process.

    Raises:
        UsageError: the variables of ``torchrun`` are there but wrong, or the others do not answer.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    try:
        ranks = Ranks(
            *(
                int(os.environ[name])
                for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
            )
        )
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (KeyError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"cannot join the other processes ({reason(error)}): start with `torchrun "
            "--nproc-per-node N -m facecheck train …`, or unset WORLD_SIZE"
        ) from None
    try:
        yield ranks
    finally:
        distributed.destroy_process_group()
