"""Softmax with soft labels: integrals of a Gaussian over the years.

Tan, Wan, Lei, Zhi, Guo and Li, "Age Estimation Based on a Single Network with Soft Softmax of Aging
Modeling", ACCV 2016.
"""

import torch
from torch import Tensor

from wrinkle.losses.distribution import check_sigma
from wrinkle.losses.label_distribution import LabelDistribution
from wrinkle.losses.term import LOSSES, Target


@LOSSES.named("soft_softmax")
class SoftSoftmax(LabelDistribution):
    """KL(integrals of the Gaussian around the label ‖ P), mean over the batch.

    An age a gets the Gaussian's integral from halfway to the age before to halfway to the age after
    it. `dldl` has the Gaussian's density at a instead: nearly the same if sigma is above a year.
    Written from the paper's abstract, which does not give sigma.

    Args:
        sigma: standard deviation of the Gaussian in years, above 0.

    Raises:
        WrinkleError: sigma is not above 0.

    Example:
        >>> head = create_head("softmax", 8, torch.arange(3.0))
        >>> target = Target(torch.tensor([1.0]), torch.tensor([math.nan]))
        >>> term = SoftSoftmax(sigma=1)
        >>> term.log_label(target, head.ages).exp()  # Φ(−½) − Φ(−1½), Φ(½) − Φ(−½), …
        tensor([[0.2790, 0.4420, 0.2790]])
        >>> term(Output(torch.zeros(1, 3)), target, head)
        tensor(0.0254)
    """

    def __init__(self, sigma: float = 2.0) -> None:
        check_sigma(sigma)
        self.sigma = sigma

    def log_label(self, target: Target, ages: Tensor) -> Tensor:
        """Logarithms (B, A) of the integrals, divided by their sum."""
        middles = (ages[1:] + ages[:-1]) / 2
        ends = torch.cat([2 * ages[:1] - middles[:1], middles, 2 * ages[-1:] - middles[-1:]])
        z = (ends - target.age[:, None]) / self.sigma
        low, high = z[:, :-1], z[:, 1:]
        # Both ends mirrored to the side of small probabilities, where a difference loses no digits.
        above = low + high > 0
        low, high = torch.where(above, -high, low), torch.where(above, -low, high)
        ratio = (torch.special.log_ndtr(low) - torch.special.log_ndtr(high)).exp()
        integrals: Tensor = torch.special.log_ndtr(high) + torch.log1p(-ratio)
        return integrals.log_softmax(-1)
