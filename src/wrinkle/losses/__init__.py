"""What training minimises; one file per loss. `LOSSES`: a recipe's name → its function."""

from collections.abc import Callable

from torch import Tensor

from wrinkle.losses.cross_entropy import cross_entropy_loss
from wrinkle.losses.dhaa import dhaa_loss
from wrinkle.losses.distribution import (
    age_estimation_loss,
    distribution_loss,
    rectified_distribution,
)

LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy_loss,
    "distribution": distribution_loss,
    "dhaa": dhaa_loss,
}

__all__ = [
    "LOSSES",
    "age_estimation_loss",
    "cross_entropy_loss",
    "dhaa_loss",
    "distribution_loss",
    "rectified_distribution",
]
