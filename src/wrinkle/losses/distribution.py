"""Label distribution learning: KL divergence from a Gaussian, and the expectation's absolute error.

Gao, Zhou, Wu and Geng, "Age Estimation Using Expectation of Label Distribution Learning" (DLDL-v2),
IJCAI 2018, which the ADPF paper uses as its Eq. 10–13.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.losses.label_distribution import cut_to_range, divergence
from wrinkle.losses.term import (
    LOSSES,
    Target,
    Term,
    check_ages,
    distance_to_range,
    log_probability,
)
from wrinkle.models.base import Output
from wrinkle.models.heads import Head
from wrinkle.models.heads.head import SMALLEST_PROBABILITY

SMALLEST_DEVIATION = 0.1
"""Smallest standard deviation in years; over integer ages such a Gaussian is one-hot."""


@LOSSES.named("dldl_v2")
class DLDLv2(Term):
    """KL(Gaussian around the label ‖ P) + |E(P) − label|: ADPF's L_AE (Eq. 13).

    The Gaussian of a label with a range is cut to it. Of a range alone, it is −log of the
    probability in the range plus the distance of E(P) to it.

    Args:
        sigma: standard deviation of the Gaussian in years, above 0, for labels without their own.

    Raises:
        WrinkleError: sigma is not above 0.

    Example:
        >>> head = create_head("softmax", 8, torch.arange(3.0))
        >>> target = Target(torch.tensor([1.0]), torch.tensor([math.nan]))
        >>> DLDLv2(sigma=0.5)(Output(torch.zeros(1, 3)), target, head)  # KL 0.4330, error 0
        tensor(0.4330)
    """

    fits: ClassVar = ("distribution",)

    def __init__(self, sigma: float = 2.0) -> None:
        check_sigma(sigma)
        self.sigma = sigma

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss, a scalar: nats plus years."""
        check_ages(target, output.raw)
        log_p = head.log_distribution(output.raw)
        label = log_gaussian(target.age, head.ages, self.sigma, target.deviation)
        label = cut_to_range(label, target, head.ages)
        return _divergence_and_error(log_p.exp(), log_p, label, target.age, head.ages)

    def of_range(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute −log P(range) + the expectation's distance to the range, a scalar."""
        assert target.ranges is not None
        expected = (head.log_distribution(output.raw).exp() * head.ages).sum(-1)
        distance = distance_to_range(expected, target.ranges)
        return (distance - log_probability(target, output, head)).mean()


def age_estimation_loss(
    probabilities: Tensor, age: Tensor, ages: Tensor, sigma: float, deviation: Tensor | None = None
) -> Tensor:
    """Compute ADPF's L_AE (Eq. 10–13): MAE + KL(Gaussian ‖ P), mean over the batch.

    Args:
        probabilities: (B, q) in [0, 1], rows sum to 1. In the divergence they are clamped to at
            least 1e-12, so that zeros give a large but finite loss.
        age: (B,) years, the labels.
        ages: (q,) years.
        sigma: standard deviation in years of the Gaussian around each label, above 0.
        deviation: (B,) years, the labels' own standard deviations, clamped to at least 0.1; used
            instead of sigma except where NaN.

    Returns:
        A scalar: nats plus years.

    Raises:
        WrinkleError: shapes differ, or sigma is not above 0.

    Example:
        >>> probabilities = torch.tensor([[0.0, 0.5, 0.5]])  # error 0.5; KL(one-hot ‖ P) = ln 2
        >>> age_estimation_loss(probabilities, torch.tensor([1.0]), torch.arange(3.0), sigma=0.1)
        tensor(1.1931)
    """
    shapes = tuple(probabilities.shape), tuple(age.shape), tuple(ages.shape)
    if probabilities.ndim != 2 or shapes != (shapes[0], shapes[0][:1], shapes[0][1:]):
        raise WrinkleError(
            f"a loss takes probabilities (B, A), age (B,) and ages (A,), not {shapes[0]}, "
            f"{shapes[1]} and {shapes[2]}"
        )
    check_sigma(sigma)
    log_p = probabilities.clamp_min(SMALLEST_PROBABILITY).log()
    label = log_gaussian(age, ages, sigma, deviation)
    return _divergence_and_error(probabilities, log_p, label, age, ages)


def log_gaussian(
    age: Tensor, ages: Tensor, sigma: float, deviation: Tensor | None = None
) -> Tensor:
    """Compute the logarithm of a Gaussian around each label, normalised over `ages` (Eq. 10).

    Args:
        age: (B,) years, the labels.
        ages: (A,) years.
        sigma: standard deviation in years.
        deviation: as for `age_estimation_loss`.

    Returns:
        (B, A).

    Raises:
        WrinkleError: the shapes of `age` and `deviation` differ.
    """
    width = torch.full_like(age, sigma)
    if deviation is not None:
        if deviation.shape != age.shape:
            raise WrinkleError(
                f"deviation has shape {tuple(deviation.shape)}, the ages {tuple(age.shape)}"
            )
        width = torch.where(deviation.isnan(), width, deviation.clamp_min(SMALLEST_DEVIATION))
    return (-0.5 * ((ages - age[:, None]) / width[:, None]) ** 2).log_softmax(-1)


def _divergence_and_error(
    p: Tensor, log_p: Tensor, log_label: Tensor, age: Tensor, ages: Tensor
) -> Tensor:
    error = ((p * ages).sum(-1) - age).abs()
    return (divergence(log_label, log_p) + error).mean()


def check_sigma(sigma: float) -> None:
    """Check a standard deviation in years.

    Raises:
        WrinkleError: it is not above 0.
    """
    if not isinstance(sigma, (int, float)) or not 0 < sigma < math.inf:
        raise WrinkleError(f"sigma is {sigma!r}; it must be a number of years above 0")
