"""Soft labels for ordinal regression.

Díaz and Marathe, "Soft Labels for Ordinal Regression" (SORD), CVPR 2019.
"""

from typing import Literal

from torch import Tensor

from wrinkle.losses.label_distribution import LabelDistribution
from wrinkle.losses.term import LOSSES, Target


@LOSSES.named("sord")
class SORD(LabelDistribution):
    """KL(soft label ‖ P), mean over the batch; the soft label is a softmax of −φ(label, age).

    It is the paper's cross entropy with these labels, less its constant part.

    Args:
        distance: φ is the "squared" or the "absolute" difference in years. With "squared" the soft
            label is a Gaussian of 0.71 years.

    Example:
        >>> head = create_head("softmax", 8, torch.arange(3.0))
        >>> target = Target(torch.tensor([1.0]), torch.tensor([math.nan]))
        >>> SORD()(Output(torch.zeros(1, 3)), target, head)  # labels ∝ 1/e, 1, 1/e
        tensor(0.1233)
    """

    def __init__(self, distance: Literal["squared", "absolute"] = "squared") -> None:
        self.power = 2 if distance == "squared" else 1

    def log_label(self, target: Target, ages: Tensor) -> Tensor:
        """Logarithms (B, A) of the soft labels."""
        return (-((target.age[:, None] - ages).abs() ** self.power)).log_softmax(-1)
