"""The loss of ordinal regression with conditional probabilities.

Shi, Cao and Raschka, "Deep Neural Networks for Rank-Consistent Ordinal Regression Based On
Conditional Probabilities" (CORN), Pattern Analysis and Applications 2023.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from wrinkle.losses.term import LOSSES, Target, Term, check_ages, log_probability
from wrinkle.models.base import Output
from wrinkle.models.heads import Head


@LOSSES.named("corn")
class CORN(Term):
    """Binary cross entropy of "older than a_k?" over faces older than a_{k−1}.

    The mean is over all pairs of a face and a classifier that sees it. The sum over a face's pairs
    is −log of the probability of its age. A label is older than a_k if it is at least half a year
    above it. Of a range alone, −log of the probability in it, divided in the same way.

    Example:
        >>> head = create_head("corn", 8, torch.arange(4.0))
        >>> target = Target(torch.tensor([1.0]), torch.tensor([math.nan]))
        >>> CORN()(Output(torch.tensor([[0.0, 0.0, 5.0]])), target, head)  # ln 2 of two classifiers
        tensor(0.6931)
    """

    fits: ClassVar = ("conditional_ranks",)

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss, a scalar in nats per classifier."""
        check_ages(target, output.raw)
        older = target.age[:, None] >= head.ages[:-1] + 0.5
        sees = seen(older)
        losses = F.binary_cross_entropy_with_logits(
            output.raw, older.to(output.raw.dtype), reduction="none"
        )
        return (losses * sees).sum() / sees.sum()

    def of_range(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss of ranges, a scalar in nats per classifier."""
        assert target.ranges is not None
        sees = seen(head.ages[:-1] < target.ranges[:, 1:])
        return -log_probability(target, output, head).sum() / sees.sum()


def seen(older: Tensor) -> Tensor:
    """Whether classifier k sees a face: always for the first, else if it is older than a_{k−1}."""
    return torch.cat([torch.ones_like(older[:, :1]), older[:, :-1]], -1)
