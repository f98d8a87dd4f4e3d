"""The output of the ADPF paper (TIP 2022), Eq. 9: rectified and divided by its sum."""

import torch
from torch import Tensor, nn

from wrinkle.models.heads.head import HEADS, Head, at_least_float32


def rectified_distribution(outputs: Tensor) -> Tensor:
    """ADPF's Eq. 9: negative outputs become 0, the rest is divided by its sum.

    A row without a positive output, which Eq. 9 leaves undefined, gets its softmax: still a
    distribution, and one whose gradient can bring the row back.

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
    # The division is kept finite on both sides of the choice, or its gradient would be NaN.
    defined = total > 0
    return torch.where(defined, positive / total.where(defined, 1), outputs.softmax(-1))


@HEADS.named("rectified")
class Rectified(Head):
    """Raw: (B, A), any real numbers, whose positive part is proportional to the distribution.

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
        """Outputs (B, A) → Eq. 9 (B, A)."""
        return rectified_distribution(at_least_float32(raw))
