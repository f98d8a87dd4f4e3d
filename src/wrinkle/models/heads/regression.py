"""A head for regression: one output, the age."""

from typing import ClassVar

from torch import Tensor, nn

from wrinkle.models.heads.head import HEADS, Head, at_least_float32, between_ages


@HEADS.named("regression")
class Regression(Head):
    """Regression of the age.

    Raw output: (B, 1), years from the middle of the ages, in units of a quarter of their range. In
    these units labels have the magnitude of features, so that usual learning rates apply.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.

    Example:
        >>> head = Regression(8, torch.arange(101.0))
        >>> raw = torch.tensor([[-0.99]])  # 50 − 0.99 · 25
        >>> head.age(raw)
        tensor([25.2500])
        >>> head.distribution(raw)[0, 24:28]
        tensor([0.0000, 0.7500, 0.2500, 0.0000])
    """

    trained_as: ClassVar = "value"

    def __init__(self, in_features: int, ages: Tensor, /) -> None:
        super().__init__(ages)
        self.fc = nn.Linear(in_features, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) → (B, 1)."""
        value: Tensor = self.fc(features)
        return value

    def age(self, raw: Tensor) -> Tensor:
        """Raw output (B, 1) → years (B,), which may be outside the range of the ages."""
        first, last = self.ages[0], self.ages[-1]
        return (first + last) / 2 + at_least_float32(raw)[:, 0] * (last - first) / 4

    def distribution(self, raw: Tensor) -> Tensor:
        """Divide the probability between the two ages next to the value, which is their mean.

        A regression does not predict its uncertainty; intervals come from calibration.

        Args:
            raw: (B, 1); a value outside the range of the ages is clamped to it.

        Returns:
            (B, A), rows sum to 1.
        """
        return between_ages(self.age(raw), self.ages)
