"""Cross entropy over ages: age estimation as classification (DEX; DHAA's Eq. 4, one term)."""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from wrinkle.losses.term import LOSSES, Target, Term, check_ages
from wrinkle.models.base import Output
from wrinkle.models.heads import Head


@LOSSES.named("cross_entropy")
class CrossEntropy(Term):
    """−log of the probability of each label's class, mean over the batch.

    A label's class is the nearest age, after rounding the label (halves to even).

    Example:
        >>> head = create_head("softmax", 8, torch.arange(4.0))
        >>> target = Target(torch.tensor([2.0]), torch.tensor([math.nan]))
        >>> CrossEntropy()(Output(torch.zeros(1, 4)), target, head)  # ln 4
        tensor(1.3863)
    """

    fits: ClassVar = ("distribution",)

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss, a scalar in nats."""
        check_ages(target, output.raw)
        label = (target.age.round()[:, None] - head.ages).abs().argmin(-1)
        return F.nll_loss(head.log_distribution(output.raw), label)
