"""The loss of BridgeNet's local regressors and gates.

Li, Lu, Feng, Xu, Zhou and Tian, "BridgeNet: A Continuity-Aware Probabilistic Network for Age
Estimation", CVPR 2019.
"""

from typing import ClassVar

import torch
from torch import Tensor

from wrinkle.losses.term import LOSSES, Target, Term, check_ages, distance_to_range
from wrinkle.models.base import Output
from wrinkle.models.heads import Head
from wrinkle.models.heads.bridge_net import BridgeNet as BridgeNetHead
from wrinkle.settings import NotNegative


@LOSSES.named("bridge_net")
class BridgeNet(Term):
    """|Σ_k π_k r_k − y| + mean |r_k − y| − λ log Σ_k π_k, mean over the batch.

    The second and the third term are over the regressors whose interval holds the label y: these
    learn the age, and the gates learn to choose them. Of a range, distances are those to the range,
    and the intervals those that overlap with it.

    Args:
        gates: λ, at least 0.

    Example:
        >>> head = create_head({"name": "bridge_net", "depth": 1}, 8, torch.arange(3.0))
        >>> target = Target(torch.tensor([2.0]), torch.tensor([math.nan]))
        >>> BridgeNet()(Output(torch.zeros(1, 6)), target, head)  # |1 − 2| + (2 + 1 + 0) / 3 − ln 1
        tensor(2.)
    """

    fits: ClassVar = ("gates",)

    def __init__(self, gates: NotNegative = 1.0) -> None:
        self.gates = gates

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss, a scalar: years plus nats."""
        check_ages(target, output.raw)
        return self._of_ranges(output.raw, target.age[:, None].expand(-1, 2), head)

    def of_range(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss of ranges, a scalar: years plus nats."""
        assert target.ranges is not None
        return self._of_ranges(output.raw, target.ranges, head)

    def _of_ranges(self, raw: Tensor, ranges: Tensor, head: Head) -> Tensor:
        assert isinstance(head, BridgeNetHead)
        # A label beyond the ages is in the intervals of the nearest one.
        ends = ranges.clamp(head.ages[0], head.ages[-1])[:, None]
        inside = (distance_to_range(head.centres, ends) <= head.half_width).to(raw.dtype)
        gates, years = head.gates(raw), head.regressed(raw)
        local = (distance_to_range(years, ranges[:, None]) * inside).sum(-1) / inside.sum(-1)
        chosen = (gates * inside).sum(-1).clamp_min(torch.finfo(raw.dtype).tiny).log()
        total = distance_to_range((gates * years).sum(-1), ranges)
        return (total + local - self.gates * chosen).mean()
