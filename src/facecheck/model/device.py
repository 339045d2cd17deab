"""Which device computes."""

from __future__ import annotations

import torch

from facecheck.core.errors import UsageError

_DEVICES = ("cuda", "mps", "cpu")


def choose_device(name: str = "auto") -> torch.device:
    """Return the named device, or for ``auto`` the first there is of CUDA, MPS and CPU.

    Raises:
        UsageError: the name is no device, or the device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if name.partition(":")[0] not in _DEVICES:
        raise UsageError(
            f"--device {name!r} is unknown: one of auto, {', '.join(_DEVICES)} (cuda:1 is the "
            "second GPU)"
        )
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    # Torch reports a missing device by any of these, according to the backend and its build.
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UsageError(
            f"--device {name}: this machine has no such device that PyTorch can use: leave the "
            "option out, or pass --device cpu"
        ) from None
    return device
