"""Losses of the decoded age: L1 and L2."""

from typing import ClassVar

from torch import Tensor

from wrinkle.losses.term import LOSSES, Target, Term, check_ages, distance_to_range
from wrinkle.models.base import Output
from wrinkle.models.heads import Head


@LOSSES.named("l1")
class AbsoluteError(Term):
    """|age − label| in years, mean over the batch.

    Example:
        >>> head = create_head("regression", 8, torch.arange(101.0))
        >>> target = Target(torch.tensor([53.0]), torch.tensor([math.nan]))
        >>> AbsoluteError()(Output(torch.zeros(1, 1)), target, head)  # |50 − 53|
        tensor(3.)
    """

    fits: ClassVar = ("value", "distribution")

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss, a scalar in years."""
        check_ages(target, output.raw)
        return (head.age(output.raw) - target.age).abs().mean()

    def of_range(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the distance to the ranges, a scalar in years."""
        assert target.ranges is not None
        return distance_to_range(head.age(output.raw), target.ranges).mean()


@LOSSES.named("l2")
class SquaredError(Term):
    """(age − label)² in years², mean over the batch.

    Example:
        >>> head = create_head("regression", 8, torch.arange(101.0))
        >>> target = Target(torch.tensor([53.0]), torch.tensor([math.nan]))
        >>> SquaredError()(Output(torch.zeros(1, 1)), target, head)
        tensor(9.)
    """

    fits: ClassVar = ("value", "distribution")

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss, a scalar in years²."""
        check_ages(target, output.raw)
        return (head.age(output.raw) - target.age).square().mean()

    def of_range(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the squared distance to the ranges, a scalar in years²."""
        assert target.ranges is not None
        return distance_to_range(head.age(output.raw), target.ranges).square().mean()
