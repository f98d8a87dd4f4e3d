"""The loss of a recipe: a weighted sum of registered terms."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.losses.term import LOSSES, Target, Term
from wrinkle.models.base import AgeModel, Output
from wrinkle.models.heads import Head
from wrinkle.models.heads.head import at_least_float32


class Loss:
    """Σ weight · term; each term that declares `fits` is summed over all heads of the network.

    For DHAA with cross entropy this is the paper's Eq. 4, the sum of ten losses.

    Args:
        choices: for each term a mapping of "name", "weight" (default 1) and the term's fields.

    Raises:
        WrinkleError: no term, an unknown term or field, or a negative weight.
    """

    def __init__(self, choices: Sequence[Mapping[str, Any]]) -> None:
        self.terms: dict[str, Term] = {}
        self.weights: dict[str, float] = {}
        for choice in choices:
            fields = dict(choice)
            name, weight = fields.pop("name"), fields.pop("weight", 1.0)
            if not 0 <= weight < float("inf"):
                raise WrinkleError(f"loss {name}: weight is {weight!r}; it must be at least 0")
            term = LOSSES.create(name, fields)
            # A term that is used twice is logged under two names.
            key = name if name not in self.terms else f"{name}_{len(self.terms) + 1}"
            self.terms[key], self.weights[key] = term, float(weight)
        if not self.terms:
            raise WrinkleError("loss is empty: name at least one term")

    def check(self, model: AgeModel) -> None:
        """Check that every term fits a network, and that some term trains its heads.

        Args:
            model: the network.

        Raises:
            WrinkleError: a term does not fit, or none trains the heads; names the terms that do.
        """
        for head in model.classifiers.values():
            self.check_kind(head.trained_as)
        for name, term in self.terms.items():
            missing = [extra for extra in term.needs if extra not in model.extra_names]
            if missing:
                raise WrinkleError(
                    f"loss {name} needs the output {missing[0]!r}, which this model does not have"
                )

    def check_kind(self, kind: str) -> None:
        """Check that every term fits heads of a kind, and that some term trains them.

        Args:
            kind: `Head.trained_as`.

        Raises:
            WrinkleError: a term does not fit, or none trains the heads; names the terms that do.
        """
        for name, term in self.terms.items():
            if term.fits and kind not in term.fits:
                raise WrinkleError(
                    f"loss {name} trains heads of the kind {' or '.join(term.fits)}, and this "
                    f"model's head is of the kind {kind}; choices: {', '.join(terms_for(kind))}"
                )
        if not any(term.fits and self.weights[name] > 0 for name, term in self.terms.items()):
            raise WrinkleError(
                f"loss {', '.join(self.terms)} does not train the head: add one of "
                f"{', '.join(terms_for(kind))} with a weight above 0"
            )

    def __call__(
        self, output: Output, target: Target, model: AgeModel
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch.

        Args:
            output: of the network.
            target: the labels.
            model: the network, whose heads decode the output.

        Returns:
            The weighted sum, a scalar, and name → each term before it is weighted.
        """
        parts = {name: self._term(term, output, target, model) for name, term in self.terms.items()}
        weighted = [self.weights[name] * value for name, value in parts.items()]
        return sum(weighted[1:], weighted[0]), parts

    def _term(self, term: Term, output: Output, target: Target, model: AgeModel) -> Tensor:
        extra = {name: at_least_float32(output.extra[name]) for name in term.needs}
        raws = model.raw_outputs(output) if term.fits else {model.final_name: output.raw}
        values = [
            _mean(term, Output(at_least_float32(raw), {}, extra), target, model.classifiers[name])
            for name, raw in raws.items()
        ]
        return sum(values[1:], values[0])


def _mean(term: Term, output: Output, target: Target, head: Head) -> Tensor:
    """A term's mean over the batch, of labels with an age and of ranges alike."""
    exact = target.exact
    if not term.fits or exact is None or exact.all():
        return term(output, target, head)
    total = output.raw.new_zeros(())
    for rows, compute in ((exact, term.__call__), (~exact, term.of_range)):
        if rows.any():
            part = Output(output.raw[rows], {}, output.extra)
            total = total + compute(part, target.take(rows), head) * rows.float().mean()
    return total


def terms_for(kind: str) -> list[str]:
    """Return the names of the terms that train heads of a kind (`Head.trained_as`)."""
    found = []
    for name in LOSSES.names():
        with suppress(WrinkleError):  # an installed package that cannot be imported
            if kind in getattr(LOSSES.get(name), "fits", ()):
                found.append(name)
    return found
