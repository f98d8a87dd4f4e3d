"""Deep regression forests: soft trees with a Gaussian in each leaf.

Shen, Guo, Wang, Zhao, Wang and Yuille, "Deep Regression Forests for Age Estimation" (DRFs), CVPR
2018.
"""

import torch
from torch import Tensor

from wrinkle.models.heads.forest import Forest, gaussians
from wrinkle.models.heads.head import HEADS

SMALLEST_DEVIATION = 1.0
"""Years: the density of a leaf with a single age would be infinite."""
SMALLEST_SHARE = 1e-6
"""A leaf that fewer faces than this reach keeps its Gaussian."""


@HEADS.named("regression_forest")
class RegressionForest(Forest):
    """DRFs: leaf ℓ is N(μ_ℓ, σ_ℓ²), and the age is Σ_ℓ ω(ℓ) μ_ℓ, mean over trees.

    Leaves are updated by ζ_ℓ ∝ ω(ℓ) N(y; μ_ℓ, σ_ℓ²) over a tree's leaves, μ_ℓ = Σ ζ_ℓ y / Σ ζ_ℓ and
    σ_ℓ² = Σ ζ_ℓ (y − μ_ℓ)² / Σ ζ_ℓ, sums over faces. In the distribution a leaf's
    Gaussian is normalised over the ages. See `Forest` for the trees.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.
        trees: number of trees; 5 in the paper.
        depth: number of splits on the way to a leaf.
        units: width of the layer that trees draw their splits from; 128 in the paper.
    """

    means: Tensor
    deviations: Tensor

    def __init__(
        self,
        in_features: int,
        ages: Tensor,
        /,
        trees: int = 5,
        depth: int = 5,
        units: int = 128,
    ) -> None:
        super().__init__(in_features, ages, trees, depth, units)
        means, deviations = self.first_leaves()
        self.register_buffer("means", means)
        self.register_buffer("deviations", deviations.clamp_min(SMALLEST_DEVIATION))

    def leaves(self) -> Tensor:
        """π (T, L, A): each leaf's Gaussian over the ages."""
        return gaussians(self.means, self.deviations, self.ages)

    def label(self, age: Tensor) -> Tensor:
        """Labels (B,) in years → (B, A), 1 at the nearest age and 0 elsewhere."""
        nearest = (age[:, None] - self.ages).abs().argmin(-1)
        return torch.zeros(len(age), len(self.ages), device=age.device).scatter(
            1, nearest[:, None], 1
        )

    def age(self, raw: Tensor) -> Tensor:
        """Units (B, units) → years (B,): the mean of the leaves' μ, mean over trees."""
        return (self.routes(raw) * self.means).sum(-1).mean(-1)

    @torch.no_grad()
    def after_epoch(self, raw: Tensor, ages: Tensor) -> None:
        """Update the leaves from an epoch's units (N, units) and labels (N,) in years."""
        y = ages.to(self.means.dtype)[:, None]
        for tree, routes in enumerate(self.routes(raw).unbind(1)):
            for _ in range(self.updates):
                mean, deviation = self.means[tree], self.deviations[tree]
                density = (-0.5 * ((y - mean) / deviation) ** 2).exp() / deviation
                joint = routes * density
                share = joint / joint.sum(-1, keepdim=True).clamp_min(SMALLEST_SHARE**2)
                total = share.sum(0)
                reached = total > SMALLEST_SHARE
                new = torch.where(reached, (share * y).sum(0) / total.where(reached, 1), mean)
                variance = (share * (y - new) ** 2).sum(0) / total.where(reached, 1)
                self.means[tree] = new
                self.deviations[tree] = torch.where(
                    reached, variance.sqrt().clamp_min(SMALLEST_DEVIATION), deviation
                )
