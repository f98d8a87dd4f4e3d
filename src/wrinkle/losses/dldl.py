"""Deep label distribution learning.

Gao, Xing, Xie, Wu and Geng, "Deep Label Distribution Learning with Label Ambiguity" (DLDL), TIP
2017.
"""

from torch import Tensor

from wrinkle.losses.distribution import check_sigma, log_gaussian
from wrinkle.losses.label_distribution import LabelDistribution
from wrinkle.losses.term import LOSSES, Target


@LOSSES.named("dldl")
class DLDL(LabelDistribution):
    """KL(Gaussian around the label ‖ P), mean over the batch.

    Args:
        sigma: standard deviation of the Gaussian in years, above 0, for labels without their own.

    Raises:
        WrinkleError: sigma is not above 0.

    Example:
        >>> head = create_head("softmax", 8, torch.arange(3.0))
        >>> target = Target(torch.tensor([1.0]), torch.tensor([math.nan]))
        >>> DLDL(sigma=0.5)(Output(torch.zeros(1, 3)), target, head)
        tensor(0.4330)
    """

    def __init__(self, sigma: float = 2.0) -> None:
        check_sigma(sigma)
        self.sigma = sigma

    def log_label(self, target: Target, ages: Tensor) -> Tensor:
        """Logarithms (B, A) of the Gaussians."""
        return log_gaussian(target.age, ages, self.sigma, target.deviation)
