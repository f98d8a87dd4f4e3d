"""dlib's ResNet-29 for face recognition, as a start for age estimation.

He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, with 29
convolutions and half as many filters; King's definition in dlib, examples/dnn_face_recognition_ex
(2017). Its weights, trained on about 3 million faces of 7,485 people, are in the PyPI package
`face-recognition-models` (CC0): `init: dlib-faces`.

Differences from the usual ResNet: convolutions with stride 2 and the max-pooling are not padded;
the shortcut of a block that halves the resolution is an average pooling, and a sum of two tensors
of different sizes counts what is missing in one as zeros.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.models.backbones.resnet import check_width
from wrinkle.models.backbones.trunk import Trunk
from wrinkle.models.base import AgeModel, Start, create_dropout, initialise
from wrinkle.models.folded_norm import folded_norm, unfold_batch_norms
from wrinkle.models.heads import HeadChoice
from wrinkle.models.registry import register

LEVELS = ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1))
"""(channels, blocks) of each level; the first block of all but the first level halves the sides."""
SMALLEST_INPUT = 103
"""Pixels; with fewer nothing is left for the last convolution."""
MEAN = (122.782 / 255, 117.001 / 255, 104.298 / 255)
STD = (256 / 255,) * 3
STARTS = {
    "dlib-faces": Start(
        "face_recognition_models",
        "models/dlib_face_recognition_resnet_model_v1.dat",
        "dlib",
        lambda path: read_dlib(path),
    )
}


class Block(nn.Module):
    """3×3 → 3×3 convolution plus the shortcut; `down` halves the resolution.

    (B, channels, H, W) → (B, out_channels, H', W'). The shortcut has the first `skipped` channels
    of the input; None: all.
    """

    def __init__(
        self, channels: int, out_channels: int, down: bool, skipped: int | None = None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(
            channels, out_channels, 3, 2 if down else 1, 0 if down else 1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.down, self.skipped = down, skipped

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        kept = x if self.skipped is None else x[:, : self.skipped]
        y = self.relu(padded_sum(y, F.avg_pool2d(kept, 2) if self.down else kept))
        return y


def padded_sum(a: Tensor, b: Tensor) -> Tensor:
    """Sum of two (B, C, H, W); what one lacks in channels, to the right or below counts as zero."""
    c, h, w = (max(pair) for pair in zip(a.shape[1:], b.shape[1:], strict=True))

    def pad(x: Tensor) -> Tensor:
        missing = (0, w - x.shape[3], 0, h - x.shape[2], 0, c - x.shape[1])
        return F.pad(x, missing) if any(missing) else x

    return pad(a) + pad(b)


def make_level(level: int, inputs: int, width: int = 32) -> nn.Sequential:
    """Return a level of the network.

    Args:
        level: its number from 0.
        inputs: channels of the input. If they are more than the level before gives, the shortcut
            has only as many as that.
        width: channels of level 0; 32 in dlib.
    """
    channels, count = LEVELS[level][0] * width // 32, LEVELS[level][1]
    usual = LEVELS[max(level - 1, 0)][0] * width // 32
    first = Block(inputs, channels, level > 0, usual if inputs > usual else None)
    return nn.Sequential(first, *(Block(channels, channels, False) for _ in range(count - 1)))


class DlibResNet(AgeModel):
    """The five levels, and a head on pooled features.

    Args:
        features: "last" pools the output of the last level, as dlib's descriptor does; "levels"
            pools those of the last four levels, which know more of the skin.
    """

    bf16_parts = ("levels",)
    mean: ClassVar = MEAN
    std: ClassVar = STD
    starts: ClassVar = STARTS

    def __init__(
        self,
        max_age: int,
        input_size: int,
        features: Literal["last", "levels"],
        dropout: float,
        head: HeadChoice,
    ) -> None:
        super().__init__(max_age, input_size)
        if input_size < SMALLEST_INPUT:
            raise WrinkleError(
                f"input_size is {input_size}; dlib's ResNet needs {SMALLEST_INPUT} pixels"
            )
        self.features = features
        self.conv1 = nn.Conv2d(3, 32, 7, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2)
        channels = [32, *(width for width, _ in LEVELS)]
        self.levels = nn.ModuleList(make_level(n, channels[n]) for n in range(len(LEVELS)))
        self.dropout = create_dropout(dropout)
        widths = [width for width, _ in LEVELS[1:]]
        self.create_final_head(head, sum(widths) if features == "levels" else widths[-1])
        initialise(self)

    def forward_features(self, images: Tensor, key_points: Tensor | None = None) -> Tensor:
        """Images (B, 3, S, S) → pooled features (B, 704), or (B, 256) of the last level."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        pooled = []
        for level in self.levels:
            x = level(x)
            pooled.append(x.mean((2, 3)))
        chosen = pooled[1:] if self.features == "levels" else pooled[-1:]
        features: Tensor = self.dropout(torch.cat(chosen, 1))
        return features

    def before_training(self, views: Iterable[Tensor], ages: Tensor) -> None:
        """Give batch norms the statistics of training faces; dlib's file has them folded in."""
        unfold_batch_norms(self, ((self.normalised(x),) for x in views))


def dlib_trunk(width: int = 32) -> Trunk:
    """Return the network's levels as four layers; the fourth is the last two levels.

    Args:
        width: channels of the first level; 32 in dlib.
    """
    check_width(width)

    def first() -> tuple[nn.Conv2d, nn.MaxPool2d]:
        return nn.Conv2d(3, width, 7, stride=2, bias=False), nn.MaxPool2d(3, stride=2)

    def layer(number: int, inputs: int) -> nn.Module:
        level = make_level(number - 1, inputs, width)
        if number == 4:
            level.extend(make_level(4, 8 * width, width))
        return level

    names = {f"levels.{n}.": f"layer{n + 1}." for n in range(4)} | {"levels.4.0.": "layer4.3."}
    channels = width, 2 * width, 4 * width, 8 * width
    return Trunk(channels, first, layer, MEAN, STD, STARTS, names)


def read_dlib(path: Path) -> dict[str, Tensor]:
    """dlib's file of the network → this network's state dict, without a head.

    Tensors are found by the names of their layers, which come in order from the input.

    Raises:
        WrinkleError: the file is cut short or is another network.
    """
    data = path.read_bytes()
    try:
        convolutions = [tensor for _, tensor in _tensors(data, b"con_4")]
        affines = [tensor for _, tensor in _tensors(data, b"affine_")]
        state: dict[str, Tensor] = {}
        places = _places()
        if len(convolutions) != len(places) or len(affines) != len(places):
            raise ValueError("other number of layers")
        pairs = zip(places, convolutions, affines, strict=True)
        for (conv, norm, shape), filters, affine in pairs:
            size = int(np.prod(shape))
            weight = torch.from_numpy(filters[:size].reshape(shape).copy())
            gain, shift = torch.from_numpy(affine.copy()).chunk(2)
            if len(filters) != size + shape[0] or len(gain) != shape[0]:
                raise ValueError(f"{conv} has another size")
            bias = torch.from_numpy(filters[size:].copy())
            state[f"{conv}.weight"] = weight
            # The convolution's bias goes into the shift: both are added before the ReLU.
            state |= folded_norm(norm, gain, shift + gain * bias)
    except (ValueError, IndexError) as error:
        raise WrinkleError(
            f"{path} is damaged or is not dlib's face recognition network ({error}): install "
            "face-recognition-models again"
        ) from None
    return state


def _places() -> list[tuple[str, str, tuple[int, int, int, int]]]:
    """Name of each convolution, of its norm, and the shape of its filters, in dlib's order."""
    places = [("conv1", "bn1", (32, 3, 7, 7))]
    channels = 32
    for level, (width, count) in enumerate(LEVELS):
        for number in range(count):
            block = f"levels.{level}.{number}"
            places.append((f"{block}.conv1", f"{block}.bn1", (width, channels, 3, 3)))
            places.append((f"{block}.conv2", f"{block}.bn2", (width, width, 3, 3)))
            channels = width
    return places


def _tensors(data: bytes, name: bytes, integers: int = 0) -> list[tuple[int, np.ndarray]]:
    """Place and float32 values of the tensor after each occurrence of a layer's name.

    integers: how many integers stand between the name and the tensor.
    """
    found = []
    place = data.find(name)
    while place >= 0:
        start = place + len(name)
        for _ in range(integers):
            _, start = _integer(data, start)
        version, start = _integer(data, start)
        shape = []
        for _ in range(4):
            side, start = _integer(data, start)
            shape.append(side)
        count = int(np.prod(shape))
        if version != 2 or not 0 < count < len(data) // 4 + 1 or start + 4 * count > len(data):
            raise ValueError(f"no tensor after {name.decode()}")
        found.append((place, np.frombuffer(data, "<f4", count, start)))
        place = data.find(name, start + 4 * count)
    return found


def _integer(data: bytes, start: int) -> tuple[int, int]:
    """dlib's integer at `start` and the place after it: a byte of length and sign, then the value,
    little-endian."""
    control = data[start]
    length = control & 0x0F
    if not 1 <= length <= 8 or start + 1 + length > len(data):
        raise ValueError("no integer where one is expected")
    value = int.from_bytes(data[start + 1 : start + 1 + length], "little")
    return (-value if control & 0x80 else value), start + 1 + length


@register
def dlib_resnet(
    max_age: int = 100,
    input_size: int = 150,
    features: Literal["last", "levels"] = "levels",
    dropout: float = 0.2,
    head: HeadChoice = "softmax",
) -> DlibResNet:
    """dlib's ResNet-29: 5.6 M parameters; `init: dlib-faces` has its face recognition weights.

    Its own faces are seen at about zoom 0.9.

    Args:
        features: "last" or "levels", see `DlibResNet`.
        dropout: share of the pooled features dropped before the head, in [0, 1).
        head: name of the head, or a mapping of its name and fields.
    """
    return DlibResNet(max_age, input_size, features, dropout, head)
