"""A head for soft stagewise regression: coarse bins, refined stage by stage.

Yang, Huang, Lin, Hsiu and Chuang, "SSR-Net: A Compact Soft Stagewise Regression Network for Age
Estimation", IJCAI 2018.
"""

from itertools import accumulate
from typing import ClassVar

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.models.heads.head import HEADS, Head, at_least_float32, between_ages

SMALLEST_FACTOR = 1e-3
"""1 + Δ is at least this."""


@HEADS.named("stagewise")
class Stagewise(Head):
    """Soft stagewise regression.

    Stage k divides each bin of the stage before into s_k bins. It predicts weights p of its bins, a
    shift η of each bin's index and a factor 1 + Δ for the number of bins. The age is

        Σ_k Σ_i p_i (i + η_i) · V / Π_(j ≤ k) s_j (1 + Δ_j),

    with i from 0 and V the number of ages. As in the authors' program p is a ReLU's output, which
    need not sum to one, and η and Δ are those of a tanh.

    Raw output: (B, Σ_k (2 s_k + 1)): of each stage p, η and Δ before their activation.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.
        bins: s_k of each stage; [3, 3, 3] if None.
        parts: widths of the features of each stage: [for Δ, for p and η]. The features then are
            those of all stages, one after another. None: each stage uses all F features for both.

    Raises:
        WrinkleError: bins or parts are not positive, or parts have another number of stages or do
            not add up to F.
    """

    trained_as: ClassVar = "value"

    def __init__(
        self,
        in_features: int,
        ages: Tensor,
        /,
        bins: list[int] | None = None,
        parts: list[list[int]] | None = None,
    ) -> None:
        super().__init__(ages)
        bins = [3, 3, 3] if bins is None else bins
        if not bins or min(bins) < 1:
            raise WrinkleError(f"bins is {bins}; give at least one bin for each stage")
        own = parts or [[in_features, in_features]] * len(bins)
        if [len(part) for part in own] != [2] * len(bins) or min(map(min, own)) < 1:
            raise WrinkleError(f"parts is {parts}; give two widths for each of {len(bins)} stages")
        total = sum(map(sum, own))
        if parts and total != in_features:
            raise WrinkleError(f"parts add up to {total}; the features have {in_features}")
        self.bins, self.parts = bins, parts
        self.dynamic_range = nn.ModuleList(nn.Linear(width, 1) for width, _ in own)
        self.weights = nn.ModuleList(
            nn.Linear(width, s) for s, (_, width) in zip(bins, own, strict=True)
        )
        self.shifts = nn.ModuleList(
            nn.Linear(width, s) for s, (_, width) in zip(bins, own, strict=True)
        )

    def reset_parameters(self) -> None:
        """Initialise as Keras does in SSR-Net, or near the middle of the ages; in place.

        With `parts`, SSR-Net's own: Glorot's uniform weights and zero biases. On other networks p
        would then often be 0 for all faces, without a gradient. There weights are N(0, 0.01²) and p
        has a bias of 1 / s_k, so that it starts even.
        """
        if self.parts is None:
            super().reset_parameters()
            for s, layer in zip(self.bins, self.weights, strict=True):
                assert isinstance(layer, nn.Linear)
                nn.init.constant_(layer.bias, 1 / s)
            return
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) → (B, Σ_k (2 s_k + 1))."""
        if self.parts is None:
            pieces = [features] * (2 * len(self.bins))
        else:
            pieces = list(features.split([width for part in self.parts for width in part], -1))
        raw = []
        for k, (weights, shifts, dynamic_range) in enumerate(
            zip(self.weights, self.shifts, self.dynamic_range, strict=True)
        ):
            raw += [weights(pieces[2 * k + 1]), shifts(pieces[2 * k + 1])]
            raw.append(dynamic_range(pieces[2 * k]))
        return torch.cat(raw, -1)

    def age(self, raw: Tensor) -> Tensor:
        """Raw output (B, Σ_k (2 s_k + 1)) → years (B,), which may be outside the ages' range."""
        raw = at_least_float32(raw)
        first, last = self.ages[0], self.ages[-1]
        width = (last - first + 1) * torch.ones_like(raw[:, 0])  # of a bin, in years
        age = first * torch.ones_like(raw[:, 0])
        starts = accumulate((2 * s + 1 for s in self.bins), initial=0)
        for s, start in zip(self.bins, starts, strict=False):
            weights, shifts, delta = raw[:, start : start + 2 * s + 1].split([s, s, 1], -1)
            # tanh rounds to −1, which would make bins infinitely wide.
            width = width / (s * (1 + delta[:, 0].tanh()).clamp_min(SMALLEST_FACTOR))
            index = torch.arange(s, device=raw.device) + shifts.tanh()
            age = age + (weights.relu() * index).sum(-1) * width
        return age

    def distribution(self, raw: Tensor) -> Tensor:
        """Divide the probability between the two ages next to the value, which is their mean.

        A regression does not predict its uncertainty; intervals come from calibration.

        Args:
            raw: (B, Σ_k (2 s_k + 1)); an age outside the range of the ages is clamped to it.

        Returns:
            (B, A), rows sum to 1.
        """
        return between_ages(self.age(raw), self.ages)
