"""The base of all loss terms, their registry, and the labels that they are computed with."""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.models.base import Output
from wrinkle.models.heads import Head
from wrinkle.registry import Registry


class Target(NamedTuple):
    """Labels of a batch.

    Attributes:
        age: (B,) years.
        deviation: (B,) years, standard deviations of the labels; NaN for labels without one.
        ranges: (B, 2) years, first and last of the range in which the age is; NaN where there is
            none. None: no label is a range.
        exact: (B,) bool, whether the age is known; where it is not, only the range is used. None:
            all are known.
        teacher: (B, A), distributions of trained models for these faces; None: there are none.
    """

    age: Tensor
    deviation: Tensor
    ranges: Tensor | None = None
    exact: Tensor | None = None
    teacher: Tensor | None = None

    def take(self, rows: Tensor) -> "Target":
        """Some of the labels; `rows`: (B,) bool."""
        given = {n: part[rows] for n, part in self._asdict().items() if part is not None}
        return Target(**given)


class Term:
    """Base of all loss terms: (output, target, head) → a scalar, the mean over the batch.

    A subclass's constructor takes the term's fields. A term that declares `fits` decodes
    `output.raw` with `head`, and is applied to every head of a network, each time with the output
    of that head only. Other terms are applied once.
    """

    fits: ClassVar[tuple[str, ...]] = ()
    """Kinds of heads (`Head.trained_as`) that the term trains."""

    needs: ClassVar[tuple[str, ...]] = ()
    """Names of the tensors in `Output.extra` that the term uses."""

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss of a batch.

        Args:
            output: a network's output; `raw` is that of `head`.
            target: the labels.
            head: the head.

        Returns:
            A scalar, the mean over the batch.
        """
        raise NotImplementedError

    def of_range(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss of a batch whose labels are ranges only.

        By default it is −log of the probability that falls in the range. This is the smallest
        KL(q ‖ P) of all distributions q in the range: a label distribution of which no more is
        known.

        Args:
            output: as for `__call__`.
            target: labels with `ranges`.
            head: the head.

        Returns:
            A scalar, the mean over the batch.
        """
        return -log_probability(target, output, head).mean()


def log_probability(target: Target, output: Output, head: Head) -> Tensor:
    """The logarithm of the probability that falls in each label's range, (B,).

    A range between or beyond the head's ages is taken for the nearest of them.
    """
    log_p = head.log_distribution(output.raw)
    return log_p.masked_fill(~in_range(target, head.ages), -torch.inf).logsumexp(-1)


def in_range(target: Target, ages: Tensor) -> Tensor:
    """Which of the ages (A,) are in each label's range, (B, A) bool; at least the nearest is.

    All are where a label has no range.
    """
    assert target.ranges is not None
    low, high = target.ranges.nan_to_num(nan=torch.inf).unbind(-1)
    low = torch.where(low.isinf(), -torch.inf, low)
    within = (ages >= low[:, None]) & (ages <= high[:, None])
    nearest = distance_to_range(ages, target.ranges[:, None]).argmin(-1)
    none = ~within.any(-1)
    rows = none.nonzero().squeeze(-1)
    within[rows, nearest[rows]] = True
    return within


def distance_to_range(ages: Tensor, ranges: Tensor) -> Tensor:
    """Years between ages and ranges (…, 2), 0 within; ages and ranges broadcast."""
    low, high = ranges.unbind(-1)
    return (low - ages).clamp_min(0) + (ages - high).clamp_min(0)


LOSSES: Registry[Term] = Registry("loss", "wrinkle.losses")


def check_ages(target: Target, raw: Tensor) -> None:
    """Check that there is a label for each row of an output.

    Raises:
        WrinkleError: the numbers differ.
    """
    if target.age.shape != raw.shape[:1]:
        raise WrinkleError(
            f"{tuple(raw.shape)} outputs take ages ({len(raw)},), not {tuple(target.age.shape)}"
        )
