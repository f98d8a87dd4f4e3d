"""The device on which a network runs."""

import torch

from wrinkle.errors import WrinkleError


def choose_device(name: str | None) -> torch.device:
    """Return a device.

    Args:
        name: such as "cpu" or "cuda:1"; None: the GPU if there is one, else the CPU.

    Raises:
        WrinkleError: the name is unknown, or this machine has no such device.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError):
        raise WrinkleError(f"device {name!r} is not available: try --device cpu") from None
    return device
