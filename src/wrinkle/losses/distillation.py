"""Distillation: learning from the distributions of trained models.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, without temperature.
"""

from typing import ClassVar

from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.losses.label_distribution import cut_to_range, divergence
from wrinkle.losses.term import LOSSES, Target, Term
from wrinkle.models.base import Output
from wrinkle.models.heads import Head
from wrinkle.models.heads.head import SMALLEST_PROBABILITY


@LOSSES.named("distillation")
class Distillation(Term):
    """KL(T ‖ P) + |E(P) − E(T)|, mean over the batch; T is the teachers' distribution.

    T is cut to the label's range, where it has one. Otherwise the label is not used: add a term
    that uses it, such as `dldl_v2`. A recipe names the teachers in `teachers`.

    Example:
        >>> head = create_head("softmax", 8, torch.arange(3.0))
        >>> target = Target(torch.tensor([1.0]), torch.tensor([math.nan]))
        >>> target = target._replace(teacher=torch.tensor([[0.0, 0.5, 0.5]]))
        >>> Distillation()(Output(torch.zeros(1, 3)), target, head)  # ln 1.5 + |1 − 1.5|
        tensor(0.9055)
    """

    fits: ClassVar = ("distribution",)

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss, a scalar: nats plus years.

        Raises:
            WrinkleError: there are no teachers, or their ages are not those of the head.
        """
        log_p = head.log_distribution(output.raw)
        if target.teacher is None:
            raise WrinkleError("loss distillation needs teachers: name models in `teachers`")
        if target.teacher.shape != log_p.shape:
            raise WrinkleError(
                f"the teachers know {target.teacher.shape[-1]} ages, the head {log_p.shape[-1]}: "
                "use teachers with the same ages"
            )
        label = target.teacher.clamp_min(SMALLEST_PROBABILITY).log()
        label = cut_to_range(label, target, head.ages)
        error = ((log_p.exp() - label.exp()) * head.ages).sum(-1).abs()
        return (divergence(label, log_p) + error).mean()

    def of_range(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss of ranges, a scalar: nats plus years."""
        return self(output, target, head)
