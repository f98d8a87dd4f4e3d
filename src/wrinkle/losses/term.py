"""One term of a loss: what it is called with, and what it says of itself."""

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
        deviation: (B,) standard deviation of the label in years, NaN where it has none.
    """

    age: Tensor
    deviation: Tensor


class Term:
    """Base of all loss terms: (output, target, head) → a scalar, the mean over the batch.

    A subclass's constructor takes the term's fields. A term with `fits` reads `output.raw` through
    `head` and is applied to every head of a network, each time with an output of that head alone;
    a term without is applied once.
    """

    fits: ClassVar[tuple[str, ...]] = ()
    """Kinds of head (`Head.trained_as`) that the term trains."""

    needs: ClassVar[tuple[str, ...]] = ()
    """Names of the tensors in `Output.extra` that the term reads."""

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Loss of a batch, a scalar."""
        raise NotImplementedError


LOSSES: Registry[Term] = Registry("loss", "wrinkle.losses")


def check_ages(target: Target, raw: Tensor) -> None:
    """Check that there is a label for each row.

    Raises:
        WrinkleError: the shapes differ.
    """
    if target.age.shape != raw.shape[:1]:
        raise WrinkleError(
            f"{tuple(raw.shape)} outputs take ages ({len(raw)},), not {tuple(target.age.shape)}"
        )
