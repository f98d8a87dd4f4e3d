"""C3AE's head: an age between two points, and a regression of the age from it.

Zhang, Liu, Xu and Zhu, "C3AE: Exploring the Limits of Compact Model for Age Estimation", CVPR 2019.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.models.heads.head import HEADS, Head, at_least_float32, between_ages


@HEADS.named("two_points")
class TwoPoints(Head):
    """A softmax over points of the ages, then a linear layer from it to the age.

    An age is represented by its share of the two points around it: 68 is 0.2 of 60 and 0.8 of 70.
    The second layer starts as the mean over points.

    Raw output: (B, P + 1): the logits of the P points, and the age in units of the gap between two.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.
        gap: years between points, above 0; 10 in the paper. The last point is the first that is not
            below the last age.

    Raises:
        WrinkleError: gap is not above 0.
    """

    trained_as: ClassVar = "points"

    points: Tensor

    def __init__(self, in_features: int, ages: Tensor, /, gap: float = 10.0) -> None:
        super().__init__(ages)
        if not 0 < gap < float("inf"):
            raise WrinkleError(f"gap is {gap}; it must be a number of years above 0")
        self.gap = gap
        count = 1 + max(1, -int(-(float(ages[-1]) - float(ages[0])) // gap))
        self.register_buffer("points", ages[0] + gap * torch.arange(count), persistent=False)
        self.fc = nn.Linear(in_features, count)
        self.to_age = nn.Linear(count, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the first layer with N(0, 0.01²), the second with the points, in place."""
        super().reset_parameters()
        with torch.no_grad():
            self.to_age.weight.copy_(self.points / self.gap)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) → (B, P + 1)."""
        logits = self.fc(features)
        return torch.cat([logits, self.to_age(logits.softmax(-1))], -1)

    def label(self, age: Tensor) -> Tensor:
        """Labels (B,) in years → their two-points representation (B, P); rows sum to 1."""
        return between_ages(age, self.points)

    def log_points(self, raw: Tensor) -> Tensor:
        """Raw output (B, P + 1) → logarithms (B, P) of the shares of the points."""
        return at_least_float32(raw)[:, :-1].log_softmax(-1)

    def age(self, raw: Tensor) -> Tensor:
        """Raw output (B, P + 1) → years (B,), which may be outside the range of the ages."""
        return at_least_float32(raw)[:, -1] * self.gap

    def distribution(self, raw: Tensor) -> Tensor:
        """Divide the probability between the two ages next to the age, which is their mean.

        The shares of the points are not used: they represent one age, not its uncertainty, which
        comes from calibration.

        Args:
            raw: (B, P + 1).

        Returns:
            (B, A), rows sum to 1.
        """
        return between_ages(self.age(raw), self.ages)
