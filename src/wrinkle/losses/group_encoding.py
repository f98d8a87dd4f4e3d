"""The loss of the group-n encoding.

Tan, Wan, Lei, Zhi, Guo and Li, "Efficient Group-n Encoding and Decoding for Facial Age Estimation"
(AgeED), TPAMI 2018.
"""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.losses.term import LOSSES, Target, Term, check_ages, in_range
from wrinkle.models.base import Output
from wrinkle.models.heads import Head
from wrinkle.settings import Positive


@LOSSES.named("group_encoding")
class GroupEncoding(Term):
    """Sum of the binary cross entropies of "is the age in group j?", mean over the batch.

    Few faces are in a group and many are not. The paper's penalty factor favours the minority: the
    answers of faces in a group are multiplied by ρ. Of a range, only the groups whose answer it
    tells count.

    Args:
        penalty: ρ, above 0. DHAA's authors trained AgeED with "n = 9 and ρ = 2"; that their ρ is
            the penalty factor is our reading.

    Example:
        >>> head = create_head({"name": "group_encoding", "n": 2}, 8, torch.arange(3.0))
        >>> target = Target(torch.tensor([1.0]), torch.tensor([math.nan]))
        >>> GroupEncoding()(Output(torch.zeros(1, 4)), target, head)  # (1 + 2 + 2 + 1) ln 2
        tensor(4.1589)
    """

    fits: ClassVar = ("groups",)

    def __init__(self, penalty: Positive = 2.0) -> None:
        self.penalty = penalty

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss, a scalar in nats."""
        check_ages(target, output.raw)
        nearest = (target.age.round()[:, None] - head.ages).abs().argmin(-1)
        inside = F.one_hot(nearest, len(head.ages)).to(output.raw.dtype)
        return self._of_ages(output.raw, inside)

    def of_range(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss of ranges, a scalar in nats."""
        return self._of_ages(output.raw, in_range(target, head.ages).to(output.raw.dtype))

    def _of_ages(self, raw: Tensor, inside: Tensor) -> Tensor:
        """The loss of logits (B, A + n − 1) for the possible ages (B, A), 1 or 0."""
        n = raw.shape[-1] - inside.shape[-1] + 1
        if n < 1:
            raise WrinkleError(
                f"{tuple(raw.shape)} outputs are too few for {inside.shape[-1]} ages"
            )
        padded = F.pad(inside, (n - 1, n - 1))
        possible = F.avg_pool1d(padded[:, None], n, stride=1)[:, 0] * n  # ages in each group
        every, none = possible > inside.sum(-1, keepdim=True) - 0.5, possible < 0.5
        weight = every * self.penalty + none
        losses = F.binary_cross_entropy_with_logits(raw, every.to(raw.dtype), reduction="none")
        return (losses * weight).sum(-1).mean()
