"""The mean-variance loss.

Pan, Han, Shan and Chen, "Mean-Variance Loss for Deep Age Estimation from a Face", CVPR 2018. The
paper adds cross entropy, which is a separate term here.
"""

from typing import ClassVar

from torch import Tensor

from wrinkle.losses.term import LOSSES, Target, Term, check_ages
from wrinkle.models.base import Output
from wrinkle.models.heads import Head
from wrinkle.settings import NotNegative


@LOSSES.named("mean_variance")
class MeanVariance(Term):
    """λ₁ · ½ (m − y)² + λ₂ · v, mean over the batch; m, v: the distribution's mean, variance.

    Args:
        mean: λ₁ of Eq. 2, at least 0; 0.2 in the paper.
        variance: λ₂ of Eq. 4, at least 0; 0.05 in the paper.

    Example:
        >>> head = create_head("softmax", 8, torch.arange(3.0))  # mean 1, variance 2/3
        >>> target = Target(torch.tensor([2.0]), torch.tensor([math.nan]))
        >>> MeanVariance()(Output(torch.zeros(1, 3)), target, head)  # 0.2 · 0.5 + 0.05 · 2/3
        tensor(0.1333)
    """

    fits: ClassVar = ("distribution",)

    def __init__(self, mean: NotNegative = 0.2, variance: NotNegative = 0.05) -> None:
        self.mean, self.variance = mean, variance

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss, a scalar in years²."""
        check_ages(target, output.raw)
        p = head.distribution(output.raw)
        m = (p * head.ages).sum(-1)
        v = (p * (head.ages - m[:, None]) ** 2).sum(-1)
        return (self.mean * 0.5 * (m - target.age) ** 2 + self.variance * v).mean()
