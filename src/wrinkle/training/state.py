"""What an optimizer remembers, as named tensors for a training state."""

import torch
from torch import Tensor, nn


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory (momenta and the like) under the names of the parameters."""
    return {
        f"{key}:{name}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def restore_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Put `optimizer_tensors` back, each where the optimizer itself would have made it."""
    parameters = dict(model.named_parameters())
    for place, value in tensors.items():
        key, _, name = place.partition(":")
        parameter = parameters[name]
        like = torch.empty_like(parameter) if value.shape == parameter.shape else value.clone()
        optimizer.state[parameter][key] = like.copy_(value)
