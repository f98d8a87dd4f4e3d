"""Learning the label's distribution: KL divergence from a Gaussian around the age, plus the
absolute error of the expectation.

Gao et al., "Age Estimation Using Expectation of Label Distribution Learning" (DLDL-v2), IJCAI 2018,
which the ADPF paper takes over as its Eq. 10–13.
"""

import math

import torch
from torch import Tensor

from wrinkle.errors import WrinkleError

SMALLEST_DEVIATION = 0.1
"""Years. Over whole ages a Gaussian this narrow is one-hot already."""

SMALLEST_PROBABILITY = 1e-12


def distribution_loss(
    logits: Tensor,
    age: Tensor,
    ages: Tensor,
    sigma: float = 2.0,
    deviation: Tensor | None = None,
) -> Tensor:
    """ADPF's L_AE (Eq. 10–13) of softmax(logits), computed from the logits; mean over the batch.

    logits: (B, A). age: (B,) years, the labels. ages: (A,) years, the age behind each logit.
    sigma: deviation in years of the Gaussian around each label, above 0. deviation: (B,) years, the
    labels' own deviations, which take the place of sigma except where NaN; below 0.1 they count as
    0.1. The Gaussian is renormalised over `ages`. WrinkleError on other shapes or sigma.

    >>> flat = torch.zeros(1, 3)  # KL(0.1065, 0.7870, 0.1065 ‖ flat) = 0.4330, error 0
    >>> distribution_loss(flat, torch.tensor([1.0]), torch.arange(3.0), sigma=0.5)
    tensor(0.4330)
    """
    log_probabilities = logits.log_softmax(
        -1, dtype=torch.promote_types(logits.dtype, torch.float32)
    )
    probabilities = log_probabilities.exp()
    return _loss(probabilities, log_probabilities, age, ages, sigma, deviation)


def age_estimation_loss(
    probabilities: Tensor, age: Tensor, ages: Tensor, sigma: float, deviation: Tensor | None = None
) -> Tensor:
    """ADPF's L_AE (Eq. 10–13) of given distributions: MAE + KL(Gaussian ‖ P), mean over the batch.

    probabilities: (B, q) in [0, 1], rows sum to 1; a probability below 1e-12 counts as 1e-12 in the
    divergence, so that exact zeros cost much but not infinity. The rest as `distribution_loss`,
    which is exact where the distribution is a softmax.

    >>> probabilities = torch.tensor([[0.0, 0.5, 0.5]])  # error 0.5 years; KL(one-hot ‖ P) = ln 2
    >>> age_estimation_loss(probabilities, torch.tensor([1.0]), torch.arange(3.0), sigma=0.1)
    tensor(1.1931)
    """
    log_probabilities = probabilities.clamp_min(SMALLEST_PROBABILITY).log()
    return _loss(probabilities, log_probabilities, age, ages, sigma, deviation)


def rectified_distribution(outputs: Tensor) -> Tensor:
    """ADPF's Eq. 9: negative outputs become 0, the rest is divided by its sum.

    outputs: (B, q), any real numbers → (B, q) in [0, 1], rows sum to 1. A row without a positive
    output, which Eq. 9 leaves undefined, gets its softmax: still a distribution, and one whose
    gradient can bring the row back.

    >>> rectified_distribution(torch.tensor([[-1.0, 1.0, 3.0]]))
    tensor([[0.0000, 0.2500, 0.7500]])
    """
    positive = outputs.clamp_min(0)
    total = positive.sum(-1, keepdim=True)
    # The division is kept finite on both sides of the choice, or its gradient would be NaN.
    defined = total > 0
    return torch.where(defined, positive / total.where(defined, 1), outputs.softmax(-1))


def check_shapes(scores: Tensor, age: Tensor, ages: Tensor) -> None:
    """WrinkleError unless scores is (B, A), age (B,) and ages (A,)."""
    if scores.ndim != 2 or age.shape != scores.shape[:1] or ages.shape != scores.shape[1:]:
        raise WrinkleError(
            f"a loss takes scores (B, A), age (B,) and ages (A,), not "
            f"{tuple(scores.shape)}, {tuple(age.shape)} and {tuple(ages.shape)}"
        )


def _loss(
    probabilities: Tensor,
    log_probabilities: Tensor,
    age: Tensor,
    ages: Tensor,
    sigma: float,
    deviation: Tensor | None,
) -> Tensor:
    check_shapes(probabilities, age, ages)
    if not isinstance(sigma, (int, float)) or not 0 < sigma < math.inf:
        raise WrinkleError(f"sigma is {sigma!r}; it must be a number of years above 0")
    width = torch.full_like(age, sigma, dtype=log_probabilities.dtype)
    if deviation is not None:
        if deviation.shape != age.shape:
            raise WrinkleError(
                f"deviation has shape {tuple(deviation.shape)}, the ages {tuple(age.shape)}"
            )
        width = torch.where(deviation.isnan(), width, deviation.clamp_min(SMALLEST_DEVIATION))
    log_label = (-0.5 * ((ages - age[:, None]) / width[:, None]) ** 2).log_softmax(-1)
    divergence = (log_label.exp() * (log_label - log_probabilities)).sum(-1)
    error = ((probabilities * ages).sum(-1) - age).abs()
    return (divergence + error).mean()
