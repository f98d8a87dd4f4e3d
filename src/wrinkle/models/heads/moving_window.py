"""Moving-window regression: the rank of a face within a window that moves to its age.

Shin, Lee and Kim, "Moving Window Regression: A Novel Approach to Ordinal Regression" (MWR), CVPR
2022.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.models.heads.head import HEADS, Head, at_least_float32, between_ages

MOVES = 5
"""Moves of the window; the paper moves it until it stays, which takes few moves."""


@HEADS.named("moving_window")
class MovingWindow(Head):
    """MWR: ρ ∈ [−1, 1], the relative rank of a face between two references, and a moving window.

    For references of y₁ < y₂ years, ρ = (2y − y₁ − y₂) / (y₂ − y₁), −1 below and 1 above the
    window. A regressor, an MLP on the features of the face and of both references, estimates ρ for
    one window around each age. Decoding starts with the mean of the windows' estimates with weights
    1 − |ρ|. Then the window is moved to the estimate, which becomes (y₁ + y₂ + ρ (y₂ − y₁)) / 2,
    five times.

    Departures from the paper: references are vectors learned for each age, not features of training
    photographs that are found by their errors, so that a model file is complete and one forward
    pass suffices; the start is such a vote, not the mean of the five nearest photographs; there is
    one regressor for all ages, not five more for parts of them; windows are in years.

    Raw output: (B, A), ρ of the windows.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.
        half_width: of the windows in years, above 0; at the ends of the ages they are narrower.
        hidden: width of the references and of the regressor's hidden layers.

    Raises:
        WrinkleError: half_width is not above 0, or hidden is below 1.
    """

    trained_as: ClassVar = "windows"

    low: Tensor
    high: Tensor

    def __init__(
        self,
        in_features: int,
        ages: Tensor,
        /,
        half_width: float = 10.0,
        hidden: int = 64,
    ) -> None:
        super().__init__(ages)
        if not 0 < half_width < float("inf") or hidden < 1:
            raise WrinkleError(
                f"half_width is {half_width}, hidden is {hidden}; a window needs a width above 0 "
                "and the regressor at least 1 hidden unit"
            )
        place = torch.arange(len(ages))
        low = (ages[:, None] - half_width - ages).abs().argmin(-1)
        high = (ages[:, None] + half_width - ages).abs().argmin(-1)
        self.register_buffer("low", low.minimum((place - 1).clamp_min(0)), persistent=False)
        last = len(ages) - 1
        self.register_buffer("high", high.maximum((place + 1).clamp_max(last)), persistent=False)
        self.references = nn.Parameter(torch.empty(len(ages), hidden))
        self.of_face = nn.Linear(in_features, hidden)
        self.of_low = nn.Linear(hidden, hidden, bias=False)
        self.of_high = nn.Linear(hidden, hidden, bias=False)
        self.second = nn.Linear(hidden, hidden)
        self.rho = nn.Linear(hidden, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise layers by He's method (fan in), references with N(0, 1), in place."""
        for layer in (self.of_face, self.of_low, self.of_high, self.second):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        nn.init.normal_(self.rho.weight, std=0.01)
        nn.init.zeros_(self.rho.bias)
        nn.init.normal_(self.references)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) → ρ (B, A)."""
        # The first layer of the MLP on three concatenated vectors is a sum of three.
        windows = self.of_low(self.references[self.low]) + self.of_high(self.references[self.high])
        hidden = (self.of_face(features)[:, None] + windows).relu()
        rho: Tensor = self.rho(self.second(hidden).relu())[..., 0].tanh()
        return rho

    @property
    def windows(self) -> tuple[Tensor, Tensor]:
        """Middles and half-widths of the windows in years, (A,) each."""
        low, high = self.ages[self.low], self.ages[self.high]
        return (low + high) / 2, (high - low) / 2

    def age(self, raw: Tensor) -> Tensor:
        """ρ (B, A) → years (B,), within the range of the ages."""
        raw = at_least_float32(raw)
        middles, half_widths = self.windows
        estimates = middles + raw * half_widths
        weights = 1 - raw.abs() + 1e-6
        age = (weights * estimates).sum(-1) / weights.sum(-1)
        for _ in range(MOVES):
            nearest = (age[:, None] - middles).abs().argmin(-1, keepdim=True)
            age = estimates.gather(1, nearest)[:, 0]
        return age

    def distribution(self, raw: Tensor) -> Tensor:
        """Divide the probability between the two ages next to the estimate, which is their mean.

        A regression does not predict its uncertainty; intervals come from calibration.

        Args:
            raw: (B, A), ρ of the windows.

        Returns:
            (B, A), rows sum to 1.
        """
        return between_ages(self.age(raw), self.ages)
