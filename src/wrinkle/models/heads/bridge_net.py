"""A head of local regressors, weighted by gates on a tree with bridges.

Li, Lu, Feng, Xu, Zhou and Tian, "BridgeNet: A Continuity-Aware Probabilistic Network for Age
Estimation", CVPR 2019.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.models.heads.head import HEADS, Head, at_least_float32, between_ages

CHILDREN = 3
"""Of each node: left, bridge, right."""


@HEADS.named("bridge_net")
class BridgeNet(Head):
    """Local regressors r_k for overlapping intervals of the ages, and their gates π_k.

    Gates: a tree whose neighbours share children. Node i of a level passes its probability on to
    the nodes 2i, 2i + 1 and 2i + 2 of the next, by a softmax of three outputs; the right child of a
    node is the left child of its neighbour, so that neighbouring leaves have similar gates. Level l
    has 2^(l + 1) − 1 nodes. Its leaves are the K = 2^(depth + 1) − 1 regressors.

    Regressors: r_k = c_k + w · tanh(·), with centres c_k evenly from the first to the last age and
    half-width w of two gaps between centres, so that each age is in about four intervals; clamped
    to the range of the ages.

    The age is Σ_k π_k r_k. The distribution is the mixture of the regressors' ages, each divided
    between the two ages next to it, with the same mean.

    Local regressors with overlapping intervals, gates on a tree with bridges and the weighted sum
    are the paper's. The number of leaves, the intervals' widths and the weights of the loss are
    ours: the paper's text was not at hand.

    Raw output: (B, 3 · nodes + K): gates by level and node, then regressors.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.
        depth: number of gates on the way to a leaf, at least 1.

    Raises:
        WrinkleError: depth is below 1.
    """

    trained_as: ClassVar = "gates"

    centres: Tensor

    def __init__(self, in_features: int, ages: Tensor, /, depth: int = 3) -> None:
        super().__init__(ages)
        if depth < 1:
            raise WrinkleError(f"depth is {depth}; the tree needs at least 1 level of gates")
        self.widths = [2 ** (level + 1) - 1 for level in range(depth + 1)]
        centres = torch.linspace(float(ages[0]), float(ages[-1]), self.widths[-1])
        self.register_buffer("centres", centres, persistent=False)
        self.half_width = 2 * float(centres[1] - centres[0])
        self.gate_outputs = CHILDREN * sum(self.widths[:-1])
        self.fc = nn.Linear(in_features, self.gate_outputs + self.widths[-1])

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) → gates and regressors (B, 3 · nodes + K)."""
        raw: Tensor = self.fc(features)
        return raw

    def gates(self, raw: Tensor) -> Tensor:
        """Raw output (B, …) → π (B, K); rows sum to 1."""
        logits = at_least_float32(raw)[:, : self.gate_outputs]
        p = torch.ones_like(logits[:, :1])
        for part in logits.split([CHILDREN * width for width in self.widths[:-1]], -1):
            passed = part.unflatten(-1, (-1, CHILDREN)).softmax(-1) * p[..., None]
            left, bridge, right = passed.unbind(-1)
            # Children 0, 2, 4, …: those at the left end, shared by neighbours, at the right end.
            shared = F.pad(left, (0, 1)) + F.pad(right, (1, 0))
            p = torch.stack([shared, F.pad(bridge, (0, 1))], -1).flatten(1)[:, :-1]
        return p

    def regressed(self, raw: Tensor) -> Tensor:
        """Raw output (B, …) → r (B, K), years within the range of the ages."""
        shifts = at_least_float32(raw)[:, self.gate_outputs :].tanh()
        years = self.centres + self.half_width * shifts
        return years.clamp(self.ages[0], self.ages[-1])

    def age(self, raw: Tensor) -> Tensor:
        """Raw output (B, …) → years (B,): Σ_k π_k r_k."""
        return (self.gates(raw) * self.regressed(raw)).sum(-1)

    def distribution(self, raw: Tensor) -> Tensor:
        """Raw output (B, …) → the mixture of the regressors' ages (B, A)."""
        gates = self.gates(raw)
        each = between_ages(self.regressed(raw).flatten(), self.ages)
        mixture: Tensor = (gates[..., None] * each.unflatten(0, gates.shape)).sum(1)
        return mixture
