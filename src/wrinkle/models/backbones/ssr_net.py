"""SSR-Net: two small streams of convolutions and soft stagewise regression.

Yang, Huang, Lin, Hsiu and Chuang, "SSR-Net: A Compact Soft Stagewise Regression Network for Age
Estimation", IJCAI 2018. Where paper and program differ, this is the program, with which the
published weights were trained: Keras, so batch norms have its epsilon and momentum, convolutions
are not padded, and pixels are 0 to 255. `init:` takes the published files (.h5, extra `keras`).
"""

import re
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.models.base import AgeModel, create_dropout
from wrinkle.models.heads import Head, HeadChoice
from wrinkle.models.heads.head import split_choice
from wrinkle.models.registry import register

RELU_CHANNELS, TANH_CHANNELS, FUSED_CHANNELS = 32, 16, 10
LEVELS = 4
"""Convolutions of each stream."""
POOLS = (1, 4, 8)
"""Side of the pooling before each stage's fusion; stage k uses the output of `STAGE_LEVELS[k]`."""
STAGE_LEVELS = (3, 1, 0)
SMALLEST_INPUT = 38
"""Pixels; with fewer nothing is left for the first stage."""


def stream(channels: int, activation: type[nn.Module]) -> nn.ModuleList:
    """The levels of a stream: 3×3 convolution without padding, batch norm, activation."""
    return nn.ModuleList(
        nn.Sequential(
            nn.Conv2d(channels if level else 3, channels, 3),
            nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01),
            activation(),
        )
        for level in range(LEVELS)
    )


class Fusion(nn.Module):
    """Fusion of both streams for one stage.

    Args:
        pool: side of the pooling, in positions of the level's output.
        width: features of each stream after pooling, 10 times the number of positions.
        bins: s, the bins of the stage.
        dropout: of the features before p and η, in [0, 1).
    """

    def __init__(self, pool: int, width: int, bins: int, dropout: float) -> None:
        super().__init__()
        self.relu_conv = nn.Conv2d(RELU_CHANNELS, FUSED_CHANNELS, 1)
        self.tanh_conv = nn.Conv2d(TANH_CHANNELS, FUSED_CHANNELS, 1)
        self.relu_pool, self.tanh_pool = nn.AvgPool2d(pool), nn.MaxPool2d(pool)
        self.relu_fc = nn.Linear(width, bins)
        self.tanh_fc = nn.Linear(width, bins)
        self.mix = nn.Linear(bins, 2 * bins)
        self.dropout = create_dropout(dropout)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """Streams (B, 32, H, W) and (B, 16, H, W) → (B, width + 2 · bins): for Δ, for p and η."""
        a = self.relu_pool(self.relu(self.relu_conv(x))).flatten(1)
        b = self.tanh_pool(self.relu(self.tanh_conv(s))).flatten(1)
        mixed = self.relu(self.relu_fc(self.dropout(a))) * self.relu(self.tanh_fc(self.dropout(b)))
        return torch.cat([a * b, self.relu(self.mix(mixed))], 1)


class SSRNet(AgeModel):
    """Both streams, the fusion for three stages, and a head. See `ssr_net` for the arguments.

    Raises:
        WrinkleError: dropout is not in [0, 1), a stage has no bin, max_age is below 1 or input_size
            below 38.
    """

    mean: ClassVar = (0.0, 0.0, 0.0)
    std: ClassVar = (1 / 255,) * 3

    def __init__(
        self,
        max_age: int,
        input_size: int,
        bins: list[int],
        dropout: float,
        head: HeadChoice,
    ) -> None:
        super().__init__(max_age, input_size)
        if input_size < SMALLEST_INPUT:
            raise WrinkleError(f"input_size is {input_size}; SSR-Net needs {SMALLEST_INPUT} pixels")
        if len(bins) != len(POOLS) or min(bins) < 1:
            raise WrinkleError(f"bins is {bins}; give the bins of three stages, at least one each")
        self.relu_stream = stream(RELU_CHANNELS, nn.ReLU)
        self.tanh_stream = stream(TANH_CHANNELS, nn.Tanh)
        self.relu_pool, self.tanh_pool = nn.AvgPool2d(2), nn.MaxPool2d(2)
        sides = [side // pool for side, pool in zip(_stage_sides(input_size), POOLS, strict=True)]
        self.sides = sides
        """Positions along a side of each stage's features."""
        widths = [FUSED_CHANNELS * side**2 for side in sides]
        self.fusions = nn.ModuleList(
            Fusion(pool, width, s, dropout)
            for pool, width, s in zip(POOLS, widths, bins, strict=True)
        )
        parts = [[width, 2 * s] for width, s in zip(widths, bins, strict=True)]
        name, fields = split_choice(head)
        if name == "stagewise":
            fields = {"bins": bins, "parts": parts, **fields}
        self.create_final_head({"name": name, **fields}, sum(map(sum, parts)))
        _initialise(self)

    def forward_features(self, images: Tensor, key_points: Tensor | None = None) -> Tensor:
        """Images (B, 3, S, S), rgb from 0 to 255 → features of the stages, one after another.

        At 64 pixels with three bins they are (B, 160 + 6 + 90 + 6 + 90 + 6).
        """
        x, s = images, images
        levels = []
        for level, (relu_level, tanh_level) in enumerate(
            zip(self.relu_stream, self.tanh_stream, strict=True)
        ):
            x, s = relu_level(x), tanh_level(s)
            if level < LEVELS - 1:
                x, s = self.relu_pool(x), self.tanh_pool(s)
            levels.append((x, s))
        stages = zip(self.fusions, STAGE_LEVELS, strict=True)
        return torch.cat([fusion(*levels[level]) for fusion, level in stages], 1)

    def starting_state(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert the published Keras weights; other state dicts are kept."""
        if "conv2d_1/kernel" not in given:
            return dict(given)
        return dict(self._converted(name, value) for name, value in given.items())

    def _converted(self, name: str, value: Tensor) -> tuple[str, Tensor]:
        """Name and tensor of Keras → those of this network."""
        layer, _, kind = name.partition("/")
        place, own = _place(layer), _KINDS.get(kind)
        if place is None or own is None:
            return name, value  # `fill` says that the file has it also
        if kind == "kernel" and value.ndim == 4:
            value = value.permute(3, 2, 0, 1)
            if value.shape[1] == 3:
                value = value.flip(1)  # its pictures are BGR
        elif kind == "kernel":
            stage = re.match(r"(?:fusions\.(\d)\.\w+_fc|head\.dynamic_range\.(\d))$", place)
            if stage:  # its features are in the order rows, columns, channels
                side = self.sides[int(stage[1] or stage[2])]
                if len(value) == FUSED_CHANNELS * side**2:
                    value = value.view(side, side, FUSED_CHANNELS, -1).permute(2, 0, 1, 3)
            value = value.reshape(-1, value.shape[-1]).T
        return f"{place}.{own}", value.contiguous()


_KINDS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_NAMED = {"delta_s": "dynamic_range", "pred_age_stage": "weights", "local_delta_stage": "shifts"}


def _place(layer: str) -> str | None:
    """Name of a layer of the published Keras network → its place here; None: there is none."""
    named = re.fullmatch(r"(\w+?)_?(\d+)", layer)
    if named is None:
        return None
    kind, number = named[1], int(named[2])
    if kind in _NAMED and 1 <= number <= 3:
        return f"head.{_NAMED[kind]}.{number - 1}"
    stage, rest = divmod(number - 1, 3)
    if kind == "dense" and stage < 3:
        return f"fusions.{stage}.{('tanh_fc', 'relu_fc', 'mix')[rest]}"
    which, level = divmod(number - 1, LEVELS)
    if kind in ("conv2d", "batch_normalization") and which < 2:
        stream_name = ("relu_stream", "tanh_stream")[which]
        return f"{stream_name}.{level}.{0 if kind == 'conv2d' else 1}"
    stage, rest = divmod(number - 1 - 2 * LEVELS, 2)
    if kind == "conv2d" and 0 <= stage < 3:
        return f"fusions.{stage}.{('tanh_conv', 'relu_conv')[rest]}"
    return None


def _stage_sides(input_size: int) -> list[int]:
    """Positions along a side of the level that each stage uses, before its pooling."""
    sides, side = [], input_size
    for level in range(LEVELS):
        side -= 2
        if level < LEVELS - 1:
            side //= 2
        sides.append(side)
    return [sides[level] for level in STAGE_LEVELS]


def _initialise(module: nn.Module) -> None:
    """Glorot's uniform weights and zero biases, as Keras initialises layers; in place."""
    for child in module.children():
        if isinstance(child, Head):
            child.reset_parameters()
        elif isinstance(child, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(child.weight)
            assert child.bias is not None
            nn.init.zeros_(child.bias)
        else:
            _initialise(child)


@register
def ssr_net(
    max_age: int = 100,
    input_size: int = 64,
    bins: list[int] | None = None,
    dropout: float = 0.2,
    head: HeadChoice = "stagewise",
) -> SSRNet:
    """SSR-Net: 40 thousand parameters; a file of its weights is 0.2 MB.

    Args:
        max_age: last age in years; the ages are 0, 1, …, max_age.
        input_size: side in pixels of the input, at least 38; the published weights need 64.
        bins: bins of each of the three stages; [3, 3, 3] if None.
        dropout: probability of dropping each feature before p and η, in [0, 1).
        head: name of the head, or a mapping of its name and fields.
    """
    return SSRNet(max_age, input_size, bins or [3, 3, 3], dropout, head)
