"""The blocks of ADPF's FusionNet, and where the patches join them (section III.C)."""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.models.backbones.resnet import BasicBlock, convolution, stem

MainPath = Literal["short", "resnet18"]


class JoinedBlock(BasicBlock):
    """A residual block on the face's and a patch's features; its shortcut is the face's.

    Args:
        channels: of the face's features, and as many of the patch's.
        width: channels of the output.
        stride: of the first convolution.
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__(channels, width, stride)
        self.conv1 = convolution(2 * channels, width, 3, stride)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 2 · channels, H, W) → (B, width, ⌈H / stride⌉, ⌈W / stride⌉)."""
        return self.residual(x, x[:, : x.shape[1] // 2])


def layout(main_path: MainPath, patches: int) -> tuple[list[int], tuple[int, ...]]:
    """Return the blocks of a main path and the blocks before which the patches join it.

    Args:
        main_path: see `FusionNet`.
        patches: n.

    Returns:
        The stride of each block, which is also the factor of its channels, and the numbers of n
        blocks, from 0.

    Raises:
        WrinkleError: no patch, or too many.
    """
    if patches < 1:
        raise WrinkleError(f"{patches} patches; FusionNet needs at least 1")
    if main_path == "resnet18":
        strides = [1, 1, 2, 1, 2, 1, 2, 1]
        if patches > len(strides):
            raise WrinkleError(f"{patches} patches; ResNet-18 has {len(strides)} blocks for them")
        return strides, tuple(len(strides) * k // patches for k in range(patches))
    # The resolution is halved three times, evenly over the blocks; each doubles the channels.
    halvings = [3 * k // patches for k in range(patches + 1)]
    return [1 + (h < h_next) for h, h_next in pairwise(halvings)], tuple(range(patches))


def patch_block(width: int, channels: int, stride: int) -> nn.Sequential:
    """Return the layers of one patch: a 7×7 convolution and a residual block.

    Args:
        width: channels of the convolution.
        channels: of the output.
        stride: of the residual block.
    """
    conv1, bn1, relu, _ = stem(width)
    return nn.Sequential(conv1, bn1, relu, BasicBlock(width, channels, stride))
