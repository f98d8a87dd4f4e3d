"""Label distribution learning forests: soft trees with a distribution over ages in each leaf.

Shen, Zhao, Guo and Yuille, "Label Distribution Learning Forests" (LDLFs), NeurIPS 2017.
"""

import torch
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.models.heads.forest import Forest, gaussians
from wrinkle.models.heads.head import HEADS, SMALLEST_PROBABILITY


@HEADS.named("distribution_forest")
class DistributionForest(Forest):
    """LDLFs: leaf ℓ is any distribution q_ℓ over the ages; labels are Gaussians d.

    Leaves are updated by q_ℓ(a) ← Σ d(a) ω(ℓ) q_ℓ(a) / P(a) / Z_ℓ, sum over faces, where P is the
    tree's distribution for the face. The age is the mean of the forest's distribution. See
    `Forest` for the trees.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.
        trees: number of trees; 5 in the paper.
        depth: number of splits on the way to a leaf.
        units: width of the layer that trees draw their splits from.
        sigma: standard deviation of d in years, above 0.

    Raises:
        WrinkleError: sigma is not above 0; also what `Forest` raises.
    """

    q: Tensor

    def __init__(
        self,
        in_features: int,
        ages: Tensor,
        /,
        trees: int = 5,
        depth: int = 5,
        units: int = 128,
        sigma: float = 2.0,
    ) -> None:
        super().__init__(in_features, ages, trees, depth, units)
        if not 0 < sigma < float("inf"):
            raise WrinkleError(f"sigma is {sigma}; it must be a number of years above 0")
        self.sigma = sigma
        means, deviations = self.first_leaves()
        self.register_buffer("q", gaussians(means, deviations.clamp_min(sigma), ages))

    def leaves(self) -> Tensor:
        """π (T, L, A): q, normalised, because an average of weights may round."""
        return self.q / self.q.sum(-1, keepdim=True)

    def label(self, age: Tensor) -> Tensor:
        """Labels (B,) in years → Gaussians (B, A) around them."""
        return gaussians(age, torch.full_like(age, self.sigma), self.ages)

    @torch.no_grad()
    def after_epoch(self, raw: Tensor, ages: Tensor) -> None:
        """Update the leaves from an epoch's units (N, units) and labels (N,) in years."""
        label = self.label(ages.to(self.q.dtype))
        for tree, routes in enumerate(self.routes(raw).unbind(1)):
            for _ in range(self.updates):
                p = (routes @ self.q[tree]).clamp_min(SMALLEST_PROBABILITY)
                new = self.q[tree] * (routes.T @ (label / p))
                total = new.sum(-1, keepdim=True)
                self.q[tree] = torch.where(total > 0, new / total.clamp_min(1e-30), self.q[tree])
