"""The head of the ADPF paper (TIP 2022), Eq. 9: outputs rectified and divided by their sum."""

import torch
from torch import Tensor, nn

from wrinkle.models.heads.head import HEADS, Head, at_least_float32


def rectified_distribution(outputs: Tensor) -> Tensor:
    """Set negative outputs to 0 and divide the others by their sum (ADPF, Eq. 9).

    Eq. 9 is undefined for a row without a positive output. Such a row gets its softmax, whose
    gradient can make outputs positive again.

    Args:
        outputs: (B, q), any real numbers.

    Returns:
        (B, q) in [0, 1], rows sum to 1.

    Example:
        >>> rectified_distribution(torch.tensor([[-1.0, 1.0, 3.0]]))
        tensor([[0.0000, 0.2500, 0.7500]])
    """
    positive = outputs.clamp_min(0)
    total = positive.sum(-1, keepdim=True)
    # Both branches of `where` must be finite, or the gradient would be NaN.
    defined = total > 0
    return torch.where(defined, positive / total.where(defined, 1), outputs.softmax(-1))


@HEADS.named("rectified")
class Rectified(Head):
    """ADPF's head. Raw output: (B, A), whose positive part is proportional to the distribution.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.

    Example:
        >>> head = Rectified(8, torch.arange(3.0))
        >>> head.age(torch.tensor([[-1.0, 1.0, 3.0]]))
        tensor([1.7500])
    """

    def __init__(self, in_features: int, ages: Tensor, /) -> None:
        super().__init__(ages)
        self.fc = nn.Linear(in_features, len(ages))

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) → outputs (B, A)."""
        outputs: Tensor = self.fc(features)
        return outputs

    def distribution(self, raw: Tensor) -> Tensor:
        """Outputs (B, A) → their `rectified_distribution` (B, A), Eq. 9."""
        return rectified_distribution(at_least_float32(raw))
