"""VGG-16, and ThinAgeNet and TinyAgeNet, which are made of it.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR
2015. Gao, Zhou, Wu and Geng, "Age Estimation Using Expectation of Label Distribution Learning"
(DLDL-v2), IJCAI 2018. Names in VGG-16's state dict are torchvision's; `init:` takes its file.
"""

import re

from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.models.backbones.resnet import check_width
from wrinkle.models.base import AgeModel, create_dropout, initialise
from wrinkle.models.heads import HeadChoice
from wrinkle.models.registry import register

BLOCKS = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""Channels over those of the first block, and number of convolutions, of each block."""
SHRINKS = 2 ** len(BLOCKS)
"""Side of the input over that of the last block's output."""


def convolutions(width: int, batch_norm: bool) -> nn.Sequential:
    """Return VGG-16's blocks of 3×3 convolutions, each followed by 2×2 max pooling.

    Args:
        width: channels of the first block.
        batch_norm: whether convolutions have a batch norm instead of a bias.
    """
    layers: list[nn.Module] = []
    channels = 3
    for factor, count in BLOCKS:
        for _ in range(count):
            layers.append(nn.Conv2d(channels, factor * width, 3, padding=1, bias=not batch_norm))
            channels = factor * width
            if batch_norm:
                layers.append(nn.BatchNorm2d(channels))
            layers.append(nn.ReLU(inplace=True))
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class VGG(AgeModel):
    """VGG-16 with a head on its second fully connected layer. See `vgg16` for the arguments.

    Raises:
        WrinkleError: width is below 1, dropout is not in [0, 1), max_age is below 1 or input_size
            below 32.
    """

    def __init__(
        self, max_age: int, input_size: int, width: int, dropout: float, head: HeadChoice
    ) -> None:
        super().__init__(max_age, input_size)
        check_width(width)
        check_side(input_size)
        self.features = convolutions(width, batch_norm=False)
        positions = (input_size // SHRINKS) ** 2
        self.classifier = nn.Sequential(
            nn.Linear(8 * width * positions, 64 * width),
            nn.ReLU(inplace=True),
            create_dropout(dropout),
            nn.Linear(64 * width, 64 * width),
            nn.ReLU(inplace=True),
            create_dropout(dropout),
        )
        self.create_final_head(head, 64 * width)
        initialise(self)

    @staticmethod
    def own_name(name: str) -> str:
        """Name in torchvision's state dict → name here: its last layer is in the head."""
        return re.sub(r"^classifier\.6\.", "head.fc.", name)

    def forward_features(self, images: Tensor, key_points: Tensor | None = None) -> Tensor:
        """Images (B, 3, S, S) of the network's input size → features (B, 64 · width)."""
        features: Tensor = self.classifier(self.features(images).flatten(1))
        return features


class AgeNet(AgeModel):
    """ThinAgeNet or TinyAgeNet: VGG-16's convolutions with batch norm, hybrid pooling and a head.

    Hybrid pooling is the last block's max pooling, then the mean over all positions; there is no
    fully connected layer before the head.

    Args:
        max_age: last age in years; the ages are 0, 1, …, max_age.
        input_size: side in pixels of the input.
        width: channels of the first block.
        head: name of the head, or a mapping of its name and fields.

    Raises:
        WrinkleError: width or max_age is below 1, or input_size below 32.
    """

    def __init__(self, max_age: int, input_size: int, width: int, head: HeadChoice) -> None:
        super().__init__(max_age, input_size)
        check_width(width)
        check_side(input_size)
        self.features = convolutions(width, batch_norm=True)
        self.create_final_head(head, 8 * width)
        initialise(self)

    def forward_features(self, images: Tensor, key_points: Tensor | None = None) -> Tensor:
        """Images (B, 3, H, W) → features (B, 8 · width); no key points."""
        features: Tensor = self.features(images).mean((2, 3))
        return features


def check_side(input_size: int) -> None:
    """Check that something is left of an input after all pooling.

    Raises:
        WrinkleError: nothing is.
    """
    if input_size < SHRINKS:
        raise WrinkleError(f"input_size is {input_size}; VGG's pooling needs {SHRINKS} pixels")


@register
def vgg16(
    max_age: int = 100,
    input_size: int = 224,
    width: int = 64,
    dropout: float = 0.5,
    head: HeadChoice = "softmax",
) -> VGG:
    """VGG-16: 134.3 M parameters at 224 pixels without the head, as in the paper (configuration D).

    Args:
        max_age: last age in years; the ages are 0, 1, …, max_age.
        input_size: side in pixels of the input; published weights need 224.
        width: channels of the first block; 64 in the paper.
        dropout: of the fully connected layers, in [0, 1).
        head: name of the head, or a mapping of its name and fields.
    """
    return VGG(max_age, input_size, width, dropout, head)


@register
def thin_age_net(max_age: int = 100, input_size: int = 224, head: HeadChoice = "softmax") -> AgeNet:
    """ThinAgeNet: half of VGG-16's channels; 3.7 M parameters, as in the DLDL-v2 paper.

    Args:
        max_age: last age in years; the ages are 0, 1, …, max_age.
        input_size: side in pixels of the input.
        head: name of the head, or a mapping of its name and fields.
    """
    return AgeNet(max_age, input_size, 32, head)


@register
def tiny_age_net(max_age: int = 100, input_size: int = 224, head: HeadChoice = "softmax") -> AgeNet:
    """TinyAgeNet: a quarter of VGG-16's channels; 0.9 M parameters, as in the DLDL-v2 paper.

    Args:
        max_age: last age in years; the ages are 0, 1, …, max_age.
        input_size: side in pixels of the input.
        head: name of the head, or a mapping of its name and fields.
    """
    return AgeNet(max_age, input_size, 16, head)
