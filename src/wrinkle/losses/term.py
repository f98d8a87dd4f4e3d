"""The base of all loss terms, their registry, and the labels that they are computed with."""

from typing import ClassVar, NamedTuple

from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.models.base import Output
from wrinkle.models.heads import Head
from wrinkle.registry import Registry


class Target(NamedTuple):
    """Labels of a batch.

    Attributes:
        age: (B,) years.
        deviation: (B,) years, standard deviations of the labels; NaN for labels without one.
    """

    age: Tensor
    deviation: Tensor


class Term:
    """Base of all loss terms: (output, target, head) → a scalar, the mean over the batch.

    A subclass's constructor takes the term's fields. A term that declares `fits` decodes
    `output.raw` with `head`, and is applied to every head of a network, each time with the output
    of that head only. Other terms are applied once.
    """

    fits: ClassVar[tuple[str, ...]] = ()
    """Kinds of heads (`Head.trained_as`) that the term trains."""

    needs: ClassVar[tuple[str, ...]] = ()
    """Names of the tensors in `Output.extra` that the term uses."""

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss of a batch.

        Args:
            output: a network's output; `raw` is that of `head`.
            target: the labels.
            head: the head.

        Returns:
            A scalar, the mean over the batch.
        """
        raise NotImplementedError


LOSSES: Registry[Term] = Registry("loss", "wrinkle.losses")


def check_ages(target: Target, raw: Tensor) -> None:
    """Check that there is a label for each row of an output.

    Raises:
        WrinkleError: the numbers differ.
    """
    if target.age.shape != raw.shape[:1]:
        raise WrinkleError(
            f"{tuple(raw.shape)} outputs take ages ({len(raw)},), not {tuple(target.age.shape)}"
        )
