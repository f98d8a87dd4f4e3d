"""A head whose distribution has one mode: a binomial distribution with a temperature.

Beckham and Pal, "Unimodal Probability Distributions for Deep Ordinal Classification", ICML 2017.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wrinkle.models.heads.head import HEADS, Head, at_least_float32

SMALLEST_TEMPERATURE = 1e-2


@HEADS.named("unimodal")
class Unimodal(Head):
    """P(a_k) ∝ (C(A − 1, k) p^k (1 − p)^(A − 1 − k))^(1 / τ), k = 0 … A − 1.

    The paper has the binomial and the Poisson distribution; this is the binomial one. τ sets the
    width. The paper fixes or learns it; here it is an output, so that it may differ between faces.

    Raw output: (B, 2): the logit of p, and τ before its softplus.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.

    Example:
        >>> head = Unimodal(8, torch.arange(3.0))
        >>> one = 0.541325  # softplus(0.541325) = 1
        >>> head.distribution(torch.tensor([[0.0, one]]))
        tensor([[0.2500, 0.5000, 0.2500]])
    """

    log_choices: Tensor

    def __init__(self, in_features: int, ages: Tensor, /) -> None:
        super().__init__(ages)
        self.fc = nn.Linear(in_features, 2)
        last = torch.tensor(len(ages) - 1.0, dtype=torch.float64)
        k = torch.arange(len(ages), dtype=torch.float64)
        choices = (last + 1).lgamma() - (k + 1).lgamma() - (last - k + 1).lgamma()
        self.register_buffer("log_choices", choices.to(ages.dtype), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) → (B, 2)."""
        raw: Tensor = self.fc(features)
        return raw

    def log_distribution(self, raw: Tensor) -> Tensor:
        """Raw output (B, 2) → the exact logarithm of the distribution (B, A)."""
        logit, width = at_least_float32(raw).split(1, -1)
        k = torch.arange(len(self.ages), device=raw.device, dtype=logit.dtype)
        log_p = self.log_choices + k * F.logsigmoid(logit) + k.flip(0) * F.logsigmoid(-logit)
        temperature = F.softplus(width).clamp_min(SMALLEST_TEMPERATURE)
        return (log_p / temperature).log_softmax(-1)

    def distribution(self, raw: Tensor) -> Tensor:
        """Raw output (B, 2) → the distribution (B, A)."""
        return self.log_distribution(raw).exp()
