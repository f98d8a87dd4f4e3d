"""A softmax over ages, decoded as its expectation.

Rothe, Timofte and Van Gool, "Deep expectation of real and apparent age from a single image without
facial landmarks" (DEX), IJCV 2018. The mean-variance loss (Pan et al., CVPR 2018) and label
distribution learning (DLDL-v2) train the same head.
"""

from torch import Tensor, nn

from wrinkle.models.heads.head import HEADS, Head, at_least_float32


@HEADS.named("softmax")
class Softmax(Head):
    """Classification of the age. Raw output: (B, A), logits.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.

    Example:
        >>> head = Softmax(8, torch.arange(4.0))
        >>> head.age(torch.zeros(1, 4))
        tensor([1.5000])
    """

    def __init__(self, in_features: int, ages: Tensor, /) -> None:
        super().__init__(ages)
        self.fc = nn.Linear(in_features, len(ages))

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) → logits (B, A)."""
        logits: Tensor = self.fc(features)
        return logits

    def distribution(self, raw: Tensor) -> Tensor:
        """Logits (B, A) → their softmax (B, A)."""
        return at_least_float32(raw).softmax(-1)

    def log_distribution(self, raw: Tensor) -> Tensor:
        """Logits (B, A) → the exact logarithm of their softmax (B, A)."""
        return at_least_float32(raw).log_softmax(-1)
