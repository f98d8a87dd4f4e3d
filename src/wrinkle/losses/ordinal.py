"""The loss of ordinal regression by binary classifiers.

OR-CNN (Niu et al., CVPR 2016, Eq. 3) and CORAL (Cao et al., Pattern Recognition Letters 2020,
Eq. 4).
"""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from wrinkle.losses.term import LOSSES, Target, Term, check_ages
from wrinkle.models.base import Output
from wrinkle.models.heads import Head


@LOSSES.named("ordinal")
class Ordinal(Term):
    """Sum of the binary cross entropies of "older than a_k?", mean over the batch.

    A label is older than a_k if it is at least half a year above it, so that fractional labels are
    rounded. All classifiers have the same weight, as in CORAL's experiments.

    Example:
        >>> head = create_head("or_cnn", 8, torch.arange(4.0))
        >>> target = Target(torch.tensor([2.0]), torch.tensor([math.nan]))
        >>> Ordinal()(Output(torch.zeros(1, 3)), target, head)  # 3 · ln 2
        tensor(2.0794)
    """

    fits: ClassVar = ("ranks",)

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss, a scalar in nats."""
        check_ages(target, output.raw)
        older = (target.age[:, None] >= head.ages[:-1] + 0.5).to(output.raw.dtype)
        losses = F.binary_cross_entropy_with_logits(output.raw, older, reduction="none")
        return losses.sum(-1).mean()

    def of_range(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss of the classifiers whose answer the range tells, a scalar in nats."""
        assert target.ranges is not None
        low, high = target.ranges.unsqueeze(-1).unbind(1)
        older = head.ages[:-1] < low
        known = older | (head.ages[:-1] >= high)
        losses = F.binary_cross_entropy_with_logits(
            output.raw, older.to(output.raw.dtype), reduction="none"
        )
        return (losses * known).sum(-1).mean()
