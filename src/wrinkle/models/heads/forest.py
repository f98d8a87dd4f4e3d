"""Forests of soft decision trees, the base of two heads.

Shen, Zhao, Guo and Yuille, "Label Distribution Learning Forests" (LDLFs), NeurIPS 2017; Shen, Guo,
Wang, Zhao, Wang and Yuille, "Deep Regression Forests for Age Estimation" (DRFs), CVPR 2018.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.models.heads.head import SMALLEST_PROBABILITY, Head, at_least_float32


class Forest(Head):
    """Base of the forests: T trees with 2^depth leaves each, which share the units of a layer.

    Split node n of a tree sends a face to the left with probability sigmoid(f_φ(n)); φ draws its
    unit at random, without repetition within a tree, and stays fixed. A face reaches
    leaf ℓ with probability ω(ℓ), the product over its path. A tree's distribution is
    Σ_ℓ ω(ℓ) π_ℓ, the forest's the mean of its trees'.

    Units are trained by gradients while leaves are fixed; after each epoch the leaves are updated
    from the epoch's raw outputs while the units are fixed. The papers do so every few dozen steps,
    and initialise leaves by k-means (DRFs) or evenly (LDLFs); here leaf ℓ starts as a Gaussian
    around the ℓ-th of equal parts of the ages, so that the first epoch can learn. Of a network with
    several heads only the final head's leaves are updated; the others keep their start.

    Raw output: (B, units), f.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.
        trees: T.
        depth: number of splits on the way to a leaf; 5 are the papers' "depth 6".
        units: width of the layer; at least 2^depth − 1, the number of split nodes of a tree.

    Raises:
        WrinkleError: no tree, no split, or too few units.
    """

    trained_as: ClassVar = "forest"
    updates: ClassVar[int] = 20
    """Iterations of a leaf update."""

    nodes: Tensor

    def __init__(
        self, in_features: int, ages: Tensor, /, trees: int, depth: int, units: int
    ) -> None:
        super().__init__(ages)
        if trees < 1 or depth < 1:
            raise WrinkleError(
                f"trees is {trees}, depth is {depth}; a forest needs at least 1 of each"
            )
        splits = 2**depth - 1
        if units < splits:
            raise WrinkleError(f"units is {units}; a tree of depth {depth} needs {splits}")
        self.depth = depth
        self.fc = nn.Linear(in_features, units)
        drawn = torch.stack([torch.randperm(units)[:splits] for _ in range(trees)])
        self.register_buffer("nodes", drawn)

    def first_leaves(self) -> tuple[Tensor, Tensor]:
        """Means and standard deviations in years of the leaves at the start, (T, L) each."""
        count, trees = 2**self.depth, len(self.nodes)
        first, last = self.ages[0], self.ages[-1]
        means = first + (last - first) * (torch.arange(count) + 0.5) / count
        deviations = torch.full_like(means, 2) * (last - first) / count
        return means.repeat(trees, 1), deviations.repeat(trees, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) → f (B, units)."""
        units: Tensor = self.fc(features)
        return units

    def routes(self, raw: Tensor) -> Tensor:
        """Units (B, units) → ω (B, T, L), the probabilities of the leaves; sums over L are 1."""
        left = at_least_float32(raw)[:, self.nodes].sigmoid()
        routes = torch.ones_like(left[..., :1])
        for level in range(self.depth):
            here = left[..., 2**level - 1 : 2 ** (level + 1) - 1]
            routes = torch.stack([routes * here, routes * (1 - here)], -1).flatten(-2)
        return routes

    def leaves(self) -> Tensor:
        """π (T, L, A), the distributions of the leaves over the ages; rows sum to 1."""
        raise NotImplementedError

    def label(self, age: Tensor) -> Tensor:
        """Labels (B,) in years → the distributions (B, A) that trees and leaves are fitted to."""
        raise NotImplementedError

    def by_tree(self, raw: Tensor) -> Tensor:
        """Units (B, units) → the distributions of the trees (B, T, A)."""
        routes = self.routes(raw)
        return (routes.transpose(0, 1) @ self.leaves().to(routes.dtype)).transpose(0, 1)

    def log_by_tree(self, raw: Tensor) -> Tensor:
        """Units (B, units) → logarithms (B, T, A) of the trees' distributions, at least 1e-12."""
        return self.by_tree(raw).clamp_min(SMALLEST_PROBABILITY).log()

    def distribution(self, raw: Tensor) -> Tensor:
        """Units (B, units) → the mean of the trees' distributions (B, A)."""
        return self.by_tree(raw).mean(1)


def gaussians(means: Tensor, deviations: Tensor, ages: Tensor) -> Tensor:
    """Gaussians (…, A) over the ages, rows sum to 1; means and deviations are (…) in years."""
    return (-0.5 * ((ages - means[..., None]) / deviations[..., None]) ** 2).softmax(-1)
