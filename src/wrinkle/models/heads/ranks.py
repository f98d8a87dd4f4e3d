"""Heads for ordinal regression: binary classifiers "older than a?" for each age a but the last.

OR-CNN: Niu, Zhou, Wang, Gao and Hua, "Ordinal Regression with Multiple Output CNN for Age
Estimation", CVPR 2016. CORAL: Cao, Mirjalili and Raschka, "Rank consistent ordinal regression for
neural networks with application to age estimation", Pattern Recognition Letters 2020.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from wrinkle.models.heads.head import HEADS, Head, at_least_float32


class Ranks(Head):
    """Base of ordinal heads; raw output: (B, A − 1), logits of P(age > a_k), k = 0 … A − 2."""

    trained_as: ClassVar = "ranks"

    def distribution(self, raw: Tensor) -> Tensor:
        """P(a_k) = P(age > a_{k−1}) − P(age > a_k).

        OR-CNN's probabilities may rise with k. Each is therefore replaced by the smallest of those
        up to it.

        Args:
            raw: (B, A − 1), logits.

        Returns:
            (B, A), rows sum to 1.
        """
        older = smallest_so_far(at_least_float32(raw).sigmoid())
        edges = torch.cat([torch.ones_like(older[:, :1]), older, torch.zeros_like(older[:, :1])], 1)
        return edges[:, :-1] - edges[:, 1:]

    def age(self, raw: Tensor) -> Tensor:
        """Logits (B, A − 1) → years (B,): a_r, where r is the number of classifiers with P > ½."""
        rank = (raw > 0).sum(-1)
        return self.ages[rank]


def smallest_so_far(x: Tensor) -> Tensor:
    """Replace each number of a row by the smallest of those up to it; (B, N) → (B, N).

    `torch.cummin` has no counterpart in ONNX; here the range doubles with each step.
    """
    reach = 1
    while reach < x.shape[-1]:
        x = torch.cat([x[:, :reach], torch.minimum(x[:, reach:], x[:, :-reach])], -1)
        reach *= 2
    return x


@HEADS.named("or_cnn")
class ORCNN(Ranks):
    """OR-CNN: a separate linear layer for each binary classifier.

    The paper's two outputs with a softmax for each classifier are one output with a sigmoid here.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.

    Example:
        >>> head = ORCNN(8, torch.arange(20.0, 24.0))
        >>> head.age(torch.tensor([[2.0, 1.0, -3.0]]))
        tensor([22.])
    """

    def __init__(self, in_features: int, ages: Tensor, /) -> None:
        super().__init__(ages)
        self.fc = nn.Linear(in_features, len(ages) - 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) → logits (B, A − 1)."""
        logits: Tensor = self.fc(features)
        return logits


@HEADS.named("coral")
class CORAL(Ranks):
    """CORAL: one weight vector for all binary classifiers, and a bias for each.

    The biases are initialised in falling order, so that the classifiers are consistent from the
    first step.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.
    """

    def __init__(self, in_features: int, ages: Tensor, /) -> None:
        super().__init__(ages)
        self.fc = nn.Linear(in_features, 1, bias=False)
        self.bias = nn.Parameter(torch.empty(len(ages) - 1))
        self._order_biases()

    def reset_parameters(self) -> None:
        """Initialise weights with N(0, 0.01²) and biases from 1 down to 1 / (A − 1), in place.

        The biases are those of the authors' code.
        """
        super().reset_parameters()
        self._order_biases()

    def _order_biases(self) -> None:
        with torch.no_grad():
            count = len(self.bias)
            self.bias.copy_(torch.arange(count, 0, -1) / count)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) → logits (B, A − 1)."""
        logits: Tensor = self.fc(features) + self.bias
        return logits
