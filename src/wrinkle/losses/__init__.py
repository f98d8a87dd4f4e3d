"""Losses: terms, one file each, and their weighted sum."""

from wrinkle.losses.bridge_net import BridgeNet
from wrinkle.losses.corn import CORN
from wrinkle.losses.cross_entropy import CrossEntropy
from wrinkle.losses.distillation import Distillation
from wrinkle.losses.distribution import DLDLv2, age_estimation_loss
from wrinkle.losses.diversity import Diversity, diversity_loss
from wrinkle.losses.dldl import DLDL
from wrinkle.losses.forest import Forest
from wrinkle.losses.group_encoding import GroupEncoding
from wrinkle.losses.loss import Loss
from wrinkle.losses.mean_variance import MeanVariance
from wrinkle.losses.moving_window import MovingWindow
from wrinkle.losses.ordinal import Ordinal
from wrinkle.losses.regression import AbsoluteError, SquaredError
from wrinkle.losses.soft_softmax import SoftSoftmax
from wrinkle.losses.sord import SORD
from wrinkle.losses.term import LOSSES, Target, Term
from wrinkle.losses.two_points import TwoPoints
from wrinkle.models.heads.rectified import rectified_distribution

__all__ = [
    "CORN",
    "DLDL",
    "LOSSES",
    "SORD",
    "AbsoluteError",
    "BridgeNet",
    "CrossEntropy",
    "DLDLv2",
    "Distillation",
    "Diversity",
    "Forest",
    "GroupEncoding",
    "Loss",
    "MeanVariance",
    "MovingWindow",
    "Ordinal",
    "SoftSoftmax",
    "SquaredError",
    "Target",
    "Term",
    "TwoPoints",
    "age_estimation_loss",
    "diversity_loss",
    "rectified_distribution",
]
