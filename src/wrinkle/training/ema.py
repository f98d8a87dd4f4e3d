"""The exponential moving average of a network's weights."""

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Update an average in place: average ← decay · average + (1 − decay) · network.

    Args:
        average: a copy of the network; its integer counters are copied.
        network: the network.
        decay: in [0, 1).
    """
    new = network.state_dict()
    for name, tensor in average.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(new[name], 1 - decay)
        else:
            tensor.copy_(new[name])


def decay_at(decay: float, step: int) -> float:
    """Return the decay at a step; it is smaller at first, to remove the initial weights.

    Args:
        decay: the final decay, in (0, 1).
        step: number of the step from 0.
    """
    return min(decay, (1 + step) / (10 + step))
