"""The loss of moving-window regression.

Shin, Lee and Kim, "Moving Window Regression: A Novel Approach to Ordinal Regression" (MWR), CVPR
2022.
"""

from typing import ClassVar

from torch import Tensor

from wrinkle.losses.term import LOSSES, Target, Term, check_ages, distance_to_range
from wrinkle.models.base import Output
from wrinkle.models.heads import Head
from wrinkle.models.heads.moving_window import MovingWindow as MovingWindowHead


@LOSSES.named("moving_window")
class MovingWindow(Term):
    """Σ (ρ̂ − ρ)² over windows, mean over the batch; ρ is the label's relative rank in a window.

    All windows count, also those that do not hold the label, whose ρ is −1 or 1. Of a range, the
    distance to the ranks of its ends.

    Example:
        >>> choice = {"name": "moving_window", "half_width": 1.0}
        >>> head = create_head(choice, 8, torch.arange(4.0))  # windows 0–1, 0–2, 1–3, 2–3
        >>> target = Target(torch.tensor([1.5]), torch.tensor([math.nan]))
        >>> MovingWindow()(Output(torch.zeros(1, 4)), target, head)  # ρ = 1, ½, −½, −1
        tensor(2.5000)
    """

    fits: ClassVar = ("windows",)

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss, a scalar."""
        check_ages(target, output.raw)
        return _of_ranges(output.raw, target.age[:, None].expand(-1, 2), head)

    def of_range(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss of ranges, a scalar."""
        assert target.ranges is not None
        return _of_ranges(output.raw, target.ranges, head)


def _of_ranges(rho: Tensor, ranges: Tensor, head: Head) -> Tensor:
    assert isinstance(head, MovingWindowHead)
    middles, half_widths = head.windows
    ranks = ((ranges[:, None] - middles[:, None]) / half_widths[:, None]).clamp(-1, 1)
    return distance_to_range(rho, ranks).square().sum(-1).mean()
