"""Batch norms from weights in which normalisation was folded into a gain and a shift.

Such weights load as batch norms of mean 0 and variance 1. In training, batch statistics would then
change every output at once.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

CALIBRATION_FACES = 1024
"""Faces whose statistics the batch norms start with."""


@torch.no_grad()
def unfold_batch_norms(model: nn.Module, inputs: Iterable[tuple[Tensor, ...]]) -> None:
    """Give batch norms the statistics of some images without changing any output, in place.

    Each layer's mean and variance over the images become its running statistics, and gain and shift
    are adapted so that the layer computes what it did. Nothing is done if a batch norm already has
    running statistics.

    Args:
        model: the network; left in evaluation mode.
        inputs: its inputs, images (B, 3, H, W) first; no more are read than are needed.
    """
    layers = {n: m for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    if any(bool(layer.running_mean.any()) for layer in layers.values()):  # type: ignore[union-attr]
        return
    sums: dict[str, list[Tensor]] = {}
    hooks = [
        layer.register_forward_pre_hook(_collect(sums, name)) for name, layer in layers.items()
    ]
    model.eval()
    seen = 0
    for batch in inputs:
        model(*batch)
        seen += len(batch[0])
        if seen >= CALIBRATION_FACES:
            break
    for hook in hooks:
        hook.remove()
    for name, values in sums.items():
        _set_statistics(layers[name], *values)


def folded_norm(name: str, gain: Tensor, shift: Tensor, eps: float = 1e-5) -> dict[str, Tensor]:
    """State dict of a batch norm that computes gain · x + shift.

    Args:
        name: of the layer.
        gain, shift: (C,).
        eps: of the layer.
    """
    return {
        f"{name}.weight": gain * (1 + eps) ** 0.5,
        f"{name}.bias": shift,
        f"{name}.running_mean": torch.zeros_like(gain),
        f"{name}.running_var": torch.ones_like(gain),
    }


def _collect(
    sums: dict[str, list[Tensor]], name: str
) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    """Forward hook that adds count, sum and sum of squares of a layer's input, in float64."""

    def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double().transpose(0, 1).flatten(1)
        new = [torch.tensor(float(x.shape[1])), x.sum(1), x.square().sum(1)]
        old = sums.get(name)
        sums[name] = new if old is None else [a + b for a, b in zip(old, new, strict=True)]

    return hook


def _set_statistics(layer: nn.BatchNorm2d, count: Tensor, total: Tensor, squares: Tensor) -> None:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    mean = total / count
    variance = (squares / count - mean**2).clamp_min(1e-8)
    gain = layer.weight.double() / (layer.running_var.double() + layer.eps).sqrt()
    layer.bias.add_((gain * mean).to(layer.bias.dtype))
    layer.weight.copy_(gain * (variance + layer.eps).sqrt())
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance)
