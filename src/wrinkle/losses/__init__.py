"""Losses: terms, one file each, and their weighted sum."""

from wrinkle.losses.cross_entropy import CrossEntropy
from wrinkle.losses.distribution import DLDLv2, age_estimation_loss
from wrinkle.losses.diversity import Diversity, diversity_loss
from wrinkle.losses.loss import Loss
from wrinkle.losses.mean_variance import MeanVariance
from wrinkle.losses.ordinal import Ordinal
from wrinkle.losses.regression import AbsoluteError, SquaredError
from wrinkle.losses.term import LOSSES, Target, Term
from wrinkle.models.heads.rectified import rectified_distribution

__all__ = [
    "LOSSES",
    "AbsoluteError",
    "CrossEntropy",
    "DLDLv2",
    "Diversity",
    "Loss",
    "MeanVariance",
    "Ordinal",
    "SquaredError",
    "Target",
    "Term",
    "age_estimation_loss",
    "diversity_loss",
    "rectified_distribution",
]
