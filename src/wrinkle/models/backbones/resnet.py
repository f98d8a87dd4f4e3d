"""ResNet-18, -34 and -50.

He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016. ResNet-50 has its
stride in the 3×3 convolution ("v1.5"), like the network that torchvision's weights are for; names
in the state dict are torchvision's.
"""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.models.backbones.trunk import Trunk
from wrinkle.models.base import AgeModel, initialise
from wrinkle.models.heads import HeadChoice
from wrinkle.models.registry import register


def convolution(channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without bias, whose output side is ⌈input side / stride⌉."""
    return nn.Conv2d(channels, out_channels, kernel, stride, kernel // 2, bias=False)


def shortcut(channels: int, out_channels: int, stride: int) -> nn.Module | None:
    """Return a 1×1 convolution from a block's input shape to its output shape; None if equal."""
    if stride == 1 and channels == out_channels:
        return None
    return nn.Sequential(
        convolution(channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels)
    )


def stem(width: int) -> tuple[nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d]:
    """Return a ResNet's first layers, which reduce the side to a quarter.

    Args:
        width: channels of the output.

    Raises:
        WrinkleError: width below 1.
    """
    check_width(width)
    return (
        nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
    )


def check_width(width: int) -> None:
    """Check the number of channels of a first layer.

    Raises:
        WrinkleError: it is below 1.
    """
    if width < 1:
        raise WrinkleError(f"width is {width}; it must be at least 1 channel")


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, plus the input.

    Args:
        channels: of the input.
        width: channels of the convolutions and of the output.
        stride: of the first convolution.
    """

    expansion: ClassVar[int] = 1
    """Channels of the output over `width`."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = convolution(channels, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = convolution(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, channels, H, W) → (B, width, ⌈H / stride⌉, ⌈W / stride⌉)."""
        return self.residual(x, x)

    def residual(self, x: Tensor, skipped: Tensor) -> Tensor:
        """Both convolutions of x, plus `skipped` by the shortcut."""
        y: Tensor = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y = self.relu(y + (skipped if self.downsample is None else self.downsample(skipped)))
        return y


class Bottleneck(nn.Module):
    """Convolutions 1×1 → 3×3 → 1×1, plus the input.

    Args:
        channels: of the input.
        width: channels of the 3×3 convolution; the output has 4 · width.
        stride: of the 3×3 convolution.
    """

    expansion: ClassVar[int] = 4
    """Channels of the output over `width`."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = convolution(channels, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = convolution(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = convolution(width, 4 * width, 1)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(channels, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, channels, H, W) → (B, 4 · width, ⌈H / stride⌉, ⌈W / stride⌉)."""
        y: Tensor = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y = self.relu(y + (x if self.downsample is None else self.downsample(x)))
        return y


Block = type[BasicBlock] | type[Bottleneck]


def make_layer(block: Block, channels: int, width: int, count: int, stride: int) -> nn.Sequential:
    """Return a layer of a ResNet.

    Args:
        block: class of its blocks.
        channels: of the input.
        width: of the blocks; the output has block.expansion · width channels.
        count: number of blocks.
        stride: of the first block.
    """
    out_channels = block.expansion * width
    return nn.Sequential(
        block(channels, width, stride),
        *(block(out_channels, width, 1) for _ in range(count - 1)),
    )


class ResNet(AgeModel):
    """A ResNet with a head on its pooled features.

    Args:
        block: class of its blocks.
        counts: number of blocks in each of the four layers.
        max_age: last age in years; the ages are 0, 1, …, max_age.
        input_size: side in pixels of the input.
        width: channels of the first layer, doubled by each further layer; 64 in the paper.
        head: name of the head, or a mapping of its name and fields.

    Raises:
        WrinkleError: width below 1, max_age below 1 or input_size below 16.
    """

    def __init__(
        self,
        block: Block,
        counts: Sequence[int],
        max_age: int,
        input_size: int,
        width: int,
        head: HeadChoice,
    ) -> None:
        super().__init__(max_age, input_size)
        self.conv1, self.bn1, self.relu, self.maxpool = stem(width)
        e = block.expansion
        self.layer1 = make_layer(block, width, width, counts[0], stride=1)
        self.layer2 = make_layer(block, e * width, 2 * width, counts[1], stride=2)
        self.layer3 = make_layer(block, e * 2 * width, 4 * width, counts[2], stride=2)
        self.layer4 = make_layer(block, e * 4 * width, 8 * width, counts[3], stride=2)
        self.create_final_head(head, e * 8 * width)
        initialise(self)

    def forward_features(self, images: Tensor, key_points: Tensor | None = None) -> Tensor:
        """Images (B, 3, H, W) → features (B, 8 · width · block.expansion); no key points."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        features: Tensor = x.mean((2, 3))
        return features


def resnet18_trunk(width: int = 64) -> Trunk:
    """Return ResNet-18's layers.

    Args:
        width: channels of the first layer; 64 in the paper.
    """
    check_width(width)
    channels = width, 2 * width, 4 * width, 8 * width

    def first() -> tuple[nn.Conv2d, nn.MaxPool2d]:
        conv1, _, _, maxpool = stem(width)
        return conv1, maxpool

    def layer(number: int, inputs: int) -> nn.Module:
        stride = 1 if number == 1 else 2
        return make_layer(BasicBlock, inputs, channels[number - 1], 2, stride)

    return Trunk(channels, first, layer, AgeModel.mean, AgeModel.std)


@register
def resnet18(
    max_age: int = 100, input_size: int = 224, width: int = 64, head: HeadChoice = "softmax"
) -> ResNet:
    """ResNet-18: 11.2 M parameters at width 64, without the head.

    Args:
        max_age: last age in years; the ages are 0, 1, …, max_age.
        input_size: side in pixels of the input.
        width: channels of the first layer; 64 in the paper.
        head: name of the head, or a mapping of its name and fields.
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), max_age, input_size, width, head)


@register
def resnet34(
    max_age: int = 100, input_size: int = 224, width: int = 64, head: HeadChoice = "softmax"
) -> ResNet:
    """ResNet-34: 21.3 M parameters at width 64, without the head; arguments as in `resnet18`."""
    return ResNet(BasicBlock, (3, 4, 6, 3), max_age, input_size, width, head)


@register
def resnet50(
    max_age: int = 100, input_size: int = 224, width: int = 64, head: HeadChoice = "softmax"
) -> ResNet:
    """ResNet-50: 23.5 M parameters at width 64, without the head; arguments as in `resnet18`."""
    return ResNet(Bottleneck, (3, 4, 6, 3), max_age, input_size, width, head)
