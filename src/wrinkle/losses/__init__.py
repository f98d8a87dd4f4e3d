"""What training minimises; one file per loss. `LOSSES`: a recipe's name → its function."""

from wrinkle.losses.cross_entropy import cross_entropy_loss
from wrinkle.losses.distribution import (
    age_estimation_loss,
    distribution_loss,
    rectified_distribution,
)

LOSSES = {"cross_entropy": cross_entropy_loss, "distribution": distribution_loss}

__all__ = [
    "LOSSES",
    "age_estimation_loss",
    "cross_entropy_loss",
    "distribution_loss",
    "rectified_distribution",
]
