"""C3AE's loss: two-points representation and regression.

Zhang, Liu, Xu and Zhu, "C3AE: Exploring the Limits of Compact Model for Age Estimation", CVPR 2019.
"""

from typing import ClassVar

from torch import Tensor

from wrinkle.losses.label_distribution import divergence
from wrinkle.losses.term import LOSSES, Target, Term, check_ages, distance_to_range
from wrinkle.models.base import Output
from wrinkle.models.heads import Head
from wrinkle.models.heads.two_points import TwoPoints as TwoPointsHead
from wrinkle.settings import NotNegative


@LOSSES.named("two_points")
class TwoPoints(Term):
    """α · KL(label's two points ‖ softmax) + |age − label|, mean over the batch.

    Of a range, the representation is that of its age nearest to the estimate, and the error the
    distance to it.

    Args:
        points: α, at least 0; 10 in the paper.

    Example:
        >>> head = create_head({"name": "two_points", "gap": 5.0}, 8, torch.arange(11.0))
        >>> target = Target(torch.tensor([5.0]), torch.tensor([math.nan]))
        >>> TwoPoints()(Output(torch.zeros(1, 4)), target, head)  # 10 · ln 3 + 5
        tensor(15.9861)
    """

    fits: ClassVar = ("points",)

    def __init__(self, points: NotNegative = 10.0) -> None:
        self.points = points

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss, a scalar: nats plus years."""
        check_ages(target, output.raw)
        return self._of_ages(output.raw, target.age[:, None].expand(-1, 2), head)

    def of_range(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss of ranges, a scalar: nats plus years."""
        assert target.ranges is not None
        return self._of_ages(output.raw, target.ranges, head)

    def _of_ages(self, raw: Tensor, ranges: Tensor, head: Head) -> Tensor:
        assert isinstance(head, TwoPointsHead)
        age = head.age(raw)
        nearest = age.detach().clamp(ranges[:, 0], ranges[:, 1])
        label = head.label(nearest).clamp_min(1e-30).log()
        return (
            self.points * divergence(label, head.log_points(raw)) + distance_to_range(age, ranges)
        ).mean()
