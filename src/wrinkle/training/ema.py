"""The running average of a network's weights."""

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """average ← decay · average + (1 − decay) · network, in place; counters are copied."""
    new = network.state_dict()
    for name, tensor in average.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(new[name], 1 - decay)
        else:
            tensor.copy_(new[name])


def decay_at(decay: float, step: int) -> float:
    """The decay at a step (0-based): smaller at first, so that the random start is forgotten."""
    return min(decay, (1 + step) / (10 + step))
