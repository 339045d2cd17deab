"""Which device computes."""

from __future__ import annotations

import torch

from facecheck.core.errors import UsageError, reason


def choose_device(name: str = "auto") -> torch.device:
    """Return the named device, or for ``auto`` the first there is of CUDA, MPS and CPU.

    Raises:
        UsageError: the name is no device, or the device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    # Torch reports a missing device by any of these, according to the backend and its build.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"device {name!r} cannot be used ({reason(error)}): pass --device auto, cuda, mps "
            "or cpu"
        ) from None
    return device
