"""Convolutions with TensorFlow's padding, and activations that can be computed with them."""

import torch.nn.functional as F
from torch import Tensor, nn


class SameConv2d(nn.Conv2d):
    """Convolution without bias and with TensorFlow's SAME padding.

    The output's side is ⌈input side / stride⌉. If the padding is an odd number of pixels (even
    input, stride 2), the extra pixel is on the right and at the bottom.

    Args:
        channels: of the input.
        out_channels: of the output.
        kernel: side in pixels, odd.
        stride: in pixels.
        groups: number of groups of channels.
    """

    def __init__(
        self, channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            channels, out_channels, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """x (B, channels, H, W) → (B, out_channels, ⌈H / stride⌉, ⌈W / stride⌉)."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return super().forward(x)
        rows, columns = (
            max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:]
        )
        if rows == columns == kernel - 1:
            return super().forward(x)
        x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class ReLU6Of(nn.ReLU6):
    """The ReLU6 after a convolution, with at most a batch norm between.

    `prepare_for_inference` computes both in one operation.

    Args:
        convolution: name of the convolution in the module that holds both.
    """

    def __init__(self, convolution: str) -> None:
        super().__init__(inplace=True)
        self.convolution = convolution
