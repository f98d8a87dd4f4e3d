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
from wrinkle.losses.diversity import attention_net_loss, diversity_loss

LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy_loss,
    "distribution": distribution_loss,
    "dhaa": dhaa_loss,
    "attention_net": attention_net_loss,
}

__all__ = [
    "LOSSES",
    "age_estimation_loss",
    "attention_net_loss",
    "cross_entropy_loss",
    "dhaa_loss",
    "distribution_loss",
    "diversity_loss",
    "rectified_distribution",
]
