"""A softmax over ages, decoded as its expectation or its median.

Rothe, Timofte and Van Gool, "Deep expectation of real and apparent age from a single image without
facial landmarks" (DEX), IJCV 2018. The mean-variance loss (Pan et al., CVPR 2018) and label
distribution learning (DLDL-v2) train the same head.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from wrinkle.models.heads.head import HEADS, Head, at_least_float32

Decode = Literal["mean", "median"]
"""The age is the mean of the distribution, as in DEX, or its median, which has the smallest mean
absolute error if the distribution is right."""


class Logits(Head):
    """What a softmax makes of logits. Raw output: (B, A), logits.

    Args:
        ages: (A,) years, ascending.
        decode: see `Decode`.
    """

    def __init__(self, ages: Tensor, decode: Decode) -> None:
        super().__init__(ages)
        self.decode = decode

    def distribution(self, raw: Tensor) -> Tensor:
        """Logits (B, A) → their softmax (B, A)."""
        return at_least_float32(raw).softmax(-1)

    def log_distribution(self, raw: Tensor) -> Tensor:
        """Logits (B, A) → the exact logarithm of their softmax (B, A)."""
        return at_least_float32(raw).log_softmax(-1)

    def age(self, raw: Tensor) -> Tensor:
        """Logits (B, A) → ages (B,) in years."""
        return (
            median(self.distribution(raw), self.ages)
            if self.decode == "median"
            else super().age(raw)
        )


@HEADS.named("softmax")
class Softmax(Logits):
    """Classification of the age. Raw output: (B, A), logits.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.
        decode: the age is the "mean" or the "median" of the distribution, see `Decode`.

    Example:
        >>> head = Softmax(8, torch.arange(4.0))
        >>> head.age(torch.zeros(1, 4))
        tensor([1.5000])
    """

    def __init__(self, in_features: int, ages: Tensor, /, decode: Decode = "mean") -> None:
        super().__init__(ages, decode)
        self.fc = nn.Linear(in_features, len(ages))

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) → logits (B, A)."""
        logits: Tensor = self.fc(features)
        return logits


def median(p: Tensor, ages: Tensor) -> Tensor:
    """Compute the medians of distributions that are constant around each age.

    Args:
        p: (B, A), rows sum to 1.
        ages: (A,) years, ascending; each stands for what is nearer to it than to the others.

    Returns:
        (B,) years.
    """
    middles = (ages[1:] + ages[:-1]) / 2
    low, high = torch.cat([ages[:1], middles]), torch.cat([middles, ages[-1:]])
    sums = p.cumsum(-1)
    # Of rounded probabilities half of the sum, which may be a little below 1.
    half = sums[:, -1:] / 2
    i = (sums >= half).to(torch.uint8).argmax(-1, keepdim=True)
    own = p.gather(-1, i)
    share = ((half - sums.gather(-1, i) + own) / own).squeeze(-1)
    i = i.squeeze(-1)
    return low[i] + share * (high[i] - low[i])
