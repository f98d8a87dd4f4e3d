"""Parameters and multiply-adds of a network, by part."""

from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wrinkle.faces.align import TEMPLATE
from wrinkle.layers import HybridAttention
from wrinkle.models.base import AgeModel


class Cost(NamedTuple):
    """The cost of one part of a network.

    Attributes:
        part: name of the part.
        parameters: number of its parameters.
        multiply_adds: for one face, in convolutions, linear layers, LSTMs and attention. Norms,
            activations and the sampling of regions are not counted.
    """

    part: str
    parameters: int
    multiply_adds: int


def costs(model: AgeModel) -> list[Cost]:
    """Return the cost of each part of a network.

    Parts are the modules directly below it, and those in its dictionaries and lists of modules.

    Args:
        model: the network.

    Returns:
        A row for each part that has parameters, in order, and their sum, "total".
    """
    counted = _multiply_adds(model)
    rows = [
        Cost(
            name,
            sum(p.numel() for p in part.parameters()),
            sum(n for layer, n in counted.items() if layer == name or layer.startswith(f"{name}.")),
        )
        for name, part in _parts(model)
    ]
    rows = [row for row in rows if row.parameters]
    total = sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows)
    return [*rows, Cost("total", *total)]


def _parts(model: nn.Module) -> list[tuple[str, nn.Module]]:
    parts: list[tuple[str, nn.Module]] = []
    for name, child in model.named_children():
        if isinstance(child, nn.ModuleDict | nn.ModuleList):
            parts += [(f"{name}.{key}", part) for key, part in child.named_children()]
        else:
            parts.append((name, child))
    return parts


def _multiply_adds(model: AgeModel) -> Counter[str]:
    """Name of each layer with multiplications → its multiply-adds in a forward pass of one face."""
    counted: Counter[str] = Counter()

    def counter(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
            counted[name] += _of_layer(layer, inputs[0], output)

        return count

    hooks = [
        layer.register_forward_hook(counter(name))
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.LSTM | HybridAttention)
    ]
    device, training = model.ages.device, model.training
    picture = torch.zeros(1, 3, model.input_size, model.input_size, device=device)
    try:
        with torch.inference_mode():
            model.eval()(picture, torch.tensor(TEMPLATE[None], dtype=torch.float32, device=device))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return counted


def _of_layer(layer: nn.Module, x: Tensor, output: Any) -> int:
    if isinstance(layer, nn.Conv2d):
        per_output = layer.weight[0].numel()
        return int(output.numel() * per_output)
    if isinstance(layer, HybridAttention):
        return layer.multiply_adds * len(x)
    if isinstance(layer, nn.LSTM):
        steps = prod(x.shape[:2])
        return steps * sum(p.numel() for p in layer.parameters() if p.ndim == 2)
    assert isinstance(layer, nn.Linear)
    return int(output.numel() * layer.in_features)
