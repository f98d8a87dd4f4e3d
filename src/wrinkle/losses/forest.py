"""The loss of forests of soft trees.

Shen, Zhao, Guo and Yuille, "Label Distribution Learning Forests" (LDLFs), NeurIPS 2017;
Shen, Guo, Wang, Zhao, Wang and Yuille, "Deep Regression Forests for Age Estimation"
(DRFs), CVPR 2018.
"""

from typing import ClassVar

import torch
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.losses.term import LOSSES, Target, Term, check_ages, in_range
from wrinkle.models.base import Output
from wrinkle.models.heads import Head
from wrinkle.models.heads.forest import Forest as ForestHead


@LOSSES.named("forest")
class Forest(Term):
    """Cross entropy between the label and each tree's distribution, mean over trees and batch.

    The label is the nearest age for `regression_forest`, and a Gaussian for `distribution_forest`.
    Of a range alone, −log of the probability that each tree gives to it. The leaves are not trained
    by this loss: the head updates them after each epoch.

    Example:
        >>> fields = {"trees": 1, "depth": 1, "units": 1}
        >>> head = create_head({"name": "distribution_forest", **fields}, 8, torch.arange(2.0))
        >>> head.q.fill_(0.5)
        tensor([[[0.5000, 0.5000],
                 [0.5000, 0.5000]]])
        >>> target = Target(torch.tensor([1.0]), torch.tensor([math.nan]))
        >>> Forest()(Output(torch.zeros(1, 1)), target, head)  # ln 2
        tensor(0.6931)
    """

    fits: ClassVar = ("forest",)

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss, a scalar in nats."""
        check_ages(target, output.raw)
        forest = _forest(head)
        label = forest.label(target.age)
        return -(label[:, None] * forest.log_by_tree(output.raw)).sum(-1).mean()

    def of_range(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss of ranges, a scalar in nats."""
        forest = _forest(head)
        outside = ~in_range(target, head.ages)[:, None]
        log_p = forest.log_by_tree(output.raw).masked_fill(outside, -torch.inf)
        return -log_p.logsumexp(-1).mean()


def _forest(head: Head) -> ForestHead:
    if not isinstance(head, ForestHead):
        raise WrinkleError(f"loss forest trains forests, not the head {type(head).__name__}")
    return head
