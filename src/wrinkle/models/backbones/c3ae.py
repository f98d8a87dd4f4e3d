"""C3AE: four small convolutions on a face at three scales, and two-points representation.

Zhang, Liu, Xu and Zhu, "C3AE: Exploring the Limits of Compact Model for Age Estimation", CVPR 2019.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wrinkle.models.base import AgeModel
from wrinkle.models.heads import Head, HeadChoice
from wrinkle.models.registry import register

SIDE = 64
"""Pixels of each view."""
CHANNELS = 32
FEATURES = CHANNELS * 4 * 4
"""Of each view."""
VIEWS = (1.0, 0.8, 0.6)
"""Sides of the nested views over that of the input."""


def block(channels: int, pool: bool) -> list[nn.Module]:
    """Convolution without padding, batch norm, ReLU and, if `pool`, average pooling by 2."""
    layers = [nn.Conv2d(channels, CHANNELS, 3), nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=True)]
    return [*layers, nn.AvgPool2d(2)] if pool else layers


class C3AE(AgeModel):
    """The plain model on one view or three nested ones. See `c3ae` for the arguments.

    Raises:
        WrinkleError: max_age is below 1 or input_size below 16.
    """

    mean: ClassVar = (0.5, 0.5, 0.5)
    std: ClassVar = (0.5, 0.5, 0.5)

    def __init__(self, max_age: int, input_size: int, context: bool, head: HeadChoice) -> None:
        super().__init__(max_age, input_size)
        self.views = VIEWS if context else VIEWS[:1]
        self.plain = nn.Sequential(
            *block(3, True),
            *block(CHANNELS, True),
            *block(CHANNELS, True),
            *block(CHANNELS, False),
            nn.Conv2d(CHANNELS, CHANNELS, 1),
        )
        self.create_final_head(head, len(self.views) * FEATURES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, Head):
                module.reset_parameters()

    def forward_features(self, images: Tensor, key_points: Tensor | None = None) -> Tensor:
        """Images (B, 3, S, S) → features (B, 512) of each view, one after another."""
        found = []
        for share in self.views:
            margin = round(images.shape[-1] * (1 - share) / 2)
            view = images[:, :, margin : images.shape[-2] - margin, :]
            view = view[..., margin : images.shape[-1] - margin]
            if view.shape[-2:] != (SIDE, SIDE):
                view = F.interpolate(view, (SIDE, SIDE), mode="bilinear", antialias=False)
            found.append(self.plain(view).flatten(1))
        return torch.cat(found, 1)


@register
def c3ae(
    max_age: int = 100,
    input_size: int = 112,
    context: bool = True,
    head: HeadChoice = "two_points",
) -> C3AE:
    """C3AE: 30,208 weights and statistics of batch norms without the head, for any number of views.

    The layers and their numbers are those of the paper's table of the plain model. The paper's
    three views are boxes around the face of different sizes, which share the convolutions; here
    they are nested in the network's input, and each is resampled to 64 pixels.

    Args:
        max_age: last age in years; the ages are 0, 1, …, max_age.
        input_size: side in pixels of the input.
        context: three views instead of one; one is the paper's plain model.
        head: name of the head, or a mapping of its name and fields.
    """
    return C3AE(max_age, input_size, context, head)
