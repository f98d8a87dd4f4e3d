"""Base of the losses that compare the distribution with one around the label."""

from typing import ClassVar

import torch
from torch import Tensor

from wrinkle.losses.term import Target, Term, check_ages, in_range
from wrinkle.models.base import Output
from wrinkle.models.heads import Head


class LabelDistribution(Term):
    """KL(distribution around the label ‖ P), mean over the batch.

    Its gradient is that of the cross entropy; for a perfect prediction it is 0. The distribution of
    a label with a range is cut to it. Of a range alone, the loss is −log of the probability in it.
    """

    fits: ClassVar = ("distribution",)

    def log_label(self, target: Target, ages: Tensor) -> Tensor:
        """Logarithms (B, A) of the distributions around the labels; rows of their exp sum to 1."""
        raise NotImplementedError

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss, a scalar in nats."""
        check_ages(target, output.raw)
        label = cut_to_range(self.log_label(target, head.ages), target, head.ages)
        return divergence(label, head.log_distribution(output.raw)).mean()


def cut_to_range(log_label: Tensor, target: Target, ages: Tensor) -> Tensor:
    """Cut distributions to the labels' ranges, where they have one.

    Args:
        log_label: (B, A), logarithms of distributions.
        target: the labels.
        ages: (A,) years.

    Returns:
        (B, A), logarithms of distributions.
    """
    if target.ranges is None or target.ranges.isnan().all():
        return log_label
    return log_label.masked_fill(~in_range(target, ages), -torch.inf).log_softmax(-1)


def divergence(log_label: Tensor, log_p: Tensor) -> Tensor:
    """Kullback-Leibler divergence KL(label ‖ P) in nats; logarithms (B, A), (B, A) → (B,)."""
    log_label = log_label.clamp_min(-1e4)  # 0 · log 0 is 0
    return (log_label.exp() * (log_label - log_p)).sum(-1)
