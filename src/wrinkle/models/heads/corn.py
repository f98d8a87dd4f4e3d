"""A head for ordinal regression with conditional probabilities.

Shi, Cao and Raschka, "Deep Neural Networks for Rank-Consistent Ordinal Regression Based On
Conditional Probabilities" (CORN), Pattern Analysis and Applications 2023.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wrinkle.models.heads.head import HEADS, Head, at_least_float32


@HEADS.named("corn")
class CORN(Head):
    """Classifier k answers "older than a_k?" for faces that are older than a_{k−1}.

    P(age > a_k) = Π_{j ≤ k} P(age > a_j | age > a_{j−1}), which falls with k for any weights.

    Raw output: (B, A − 1), logits of these conditional probabilities.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.

    Example:
        >>> head = CORN(8, torch.arange(3.0))
        >>> head.distribution(torch.zeros(1, 2))  # ½, ½ · ½, ½ · ½
        tensor([[0.5000, 0.2500, 0.2500]])
    """

    trained_as: ClassVar = "conditional_ranks"

    def __init__(self, in_features: int, ages: Tensor, /) -> None:
        super().__init__(ages)
        self.fc = nn.Linear(in_features, len(ages) - 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise weights with N(0, 0.01²) and biases so that all ages are equally probable.

        With zero biases, as in the authors' code, the median of an untrained head is the first age.
        """
        super().reset_parameters()
        with torch.no_grad():
            later = torch.arange(len(self.fc.bias), 0, -1.0)  # ages after a_k
            self.fc.bias.copy_(later.log())

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) → logits (B, A − 1)."""
        logits: Tensor = self.fc(features)
        return logits

    def log_distribution(self, raw: Tensor) -> Tensor:
        """Logits (B, A − 1) → the exact logarithm of the distribution (B, A)."""
        raw = at_least_float32(raw)
        older = F.pad(F.logsigmoid(raw).cumsum(-1), (1, 0))  # log P(age > a_{k−1})
        return older + F.pad(F.logsigmoid(-raw), (0, 1))

    def distribution(self, raw: Tensor) -> Tensor:
        """Logits (B, A − 1) → P(a_k) = P(age > a_{k−1}) − P(age > a_k), (B, A)."""
        return self.log_distribution(raw).exp()

    def age(self, raw: Tensor) -> Tensor:
        """Logits (B, A − 1) → years (B,): a_r, where r is the number of P(age > a_k) above ½."""
        older = F.logsigmoid(at_least_float32(raw)).cumsum(-1).exp()
        return self.ages[(older > 0.5).sum(-1)]
