"""A head for the group-n encoding of ages.

Tan, Wan, Lei, Zhi, Guo and Li, "Efficient Group-n Encoding and Decoding for Facial Age Estimation"
(AgeED), TPAMI 2018.
"""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.models.heads.head import HEADS, Head, at_least_float32


@HEADS.named("group_encoding")
class GroupEncoding(Head):
    """Binary classifiers "is the age in group j?"; each age is in n neighbouring groups.

    Group j = 0 … A + n − 2 holds the ages a_{j−n+1} … a_j, as far as they exist. The age is the one
    whose code, n ones among zeros, is most likely given the answers: argmax_k Σ_{j=k}^{k+n−1} z_j,
    since the factors that do not depend on k cancel. The best age is always in the group with the
    best sum, so that decoding all ages gives what the paper's local decoding searches for.

    The answers of neighbouring groups depend on each other. The distribution is therefore their
    geometric mean instead of their product, P(a_k) ∝ exp((1 / n) Σ_{j=k}^{k+n−1} z_j), which has
    the same mode.

    Written from the paper's abstract; DHAA's authors trained it with n = 9.

    Raw output: (B, A + n − 1), logits z.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.
        n: number of groups of each age, at least 1.

    Raises:
        WrinkleError: n is below 1.

    Example:
        >>> head = GroupEncoding(8, torch.arange(3.0), n=2)
        >>> head.age(torch.tensor([[-3.0, -1.0, 2.0, 4.0]]))  # sums −4, 1, 6
        tensor([2.])
    """

    trained_as: ClassVar = "groups"

    def __init__(self, in_features: int, ages: Tensor, /, n: int = 9) -> None:
        super().__init__(ages)
        if n < 1:
            raise WrinkleError(f"n is {n}; each age needs at least 1 group")
        self.n = n
        self.fc = nn.Linear(in_features, len(ages) + n - 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) → logits (B, A + n − 1)."""
        logits: Tensor = self.fc(features)
        return logits

    def log_distribution(self, raw: Tensor) -> Tensor:
        """Logits (B, A + n − 1) → the exact logarithm of the distribution (B, A)."""
        means = F.avg_pool1d(at_least_float32(raw)[:, None], self.n, stride=1)[:, 0]
        return means.log_softmax(-1)

    def distribution(self, raw: Tensor) -> Tensor:
        """Logits (B, A + n − 1) → the distribution (B, A)."""
        return self.log_distribution(raw).exp()

    def age(self, raw: Tensor) -> Tensor:
        """Logits (B, A + n − 1) → years (B,), the most probable age."""
        return self.ages[self.log_distribution(raw).argmax(-1)]
