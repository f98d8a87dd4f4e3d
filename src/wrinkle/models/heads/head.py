"""What every head does, and how one is chosen."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import AfterValidator
from torch import Tensor, nn

from wrinkle.registry import Registry

SMALLEST_PROBABILITY = 1e-12


class Head(nn.Module):
    """Base of all heads: features (B, F) → raw output → distribution over ages, and age.

    A subclass takes `(in_features, ages, /, …fields)` and defines `forward` and `distribution`.
    Raw outputs may have any width; losses read them through `log_distribution`, `age`, or as they
    are.

    Args:
        ages: (A,) years, ascending: the ages that the distribution is over.
    """

    ages: Tensor
    """(A,) float, years. Not part of the state dict."""

    trained_as: ClassVar[str] = "distribution"
    """What losses can train: "distribution" (`log_distribution` has useful gradients), "ranks"
    (raw: logits of age > a for each age a but the last) or "value" (`age` is the raw output)."""

    def __init__(self, ages: Tensor) -> None:
        super().__init__()
        self.register_buffer("ages", ages.clone(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) → raw output (B, …)."""
        raise NotImplementedError

    def distribution(self, raw: Tensor) -> Tensor:
        """Raw output → probability of each age, (B, A), float32 or wider; rows sum to 1."""
        raise NotImplementedError

    def log_distribution(self, raw: Tensor) -> Tensor:
        """The natural logarithm of `distribution`; a probability below 1e-12 counts as 1e-12."""
        return self.distribution(raw).clamp_min(SMALLEST_PROBABILITY).log()

    def age(self, raw: Tensor) -> Tensor:
        """Raw output → age in years, (B,): the decoding of the head's own paper.

        Here the mean of the distribution.
        """
        # Not a matrix product: autocast would compute that in bf16 and round to half years.
        return (self.distribution(raw) * self.ages).sum(-1)

    def reset_parameters(self) -> None:
        """Random start: N(0, 0.01²) and zero bias for linear layers, so that an untrained softmax
        gives a nearly flat distribution."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.01)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def after_epoch(self, raw: Tensor, ages: Tensor) -> None:
        """Called after every training epoch, for heads with an update of their own.

        Args:
            raw: (N, …) raw outputs of the epoch's N training faces, detached.
            ages: (N,) their labels in years.
        """


HEADS: Registry[Head] = Registry("head", "wrinkle.models.heads")


def _checked(choice: str | dict[str, Any]) -> dict[str, Any]:
    name, fields = _split(choice)
    HEADS.check(name, fields)
    return {"name": name, **fields}


HeadChoice = Annotated[str | dict[str, Any], AfterValidator(_checked)]
"""A head in a recipe: its name, or a mapping of `name` and the head's fields."""


def create_head(choice: str | Mapping[str, Any], in_features: int, ages: Tensor) -> Head:
    """Build a head with random weights.

    Args:
        choice: a name of `HEADS`, or a mapping of "name" and the head's fields.
        in_features: F, the width of the features.
        ages: (A,) years, ascending.

    Raises:
        WrinkleError: an unknown head or field, or a value of another type; one line.
    """
    name, fields = _split(choice)
    return HEADS.create(name, fields, in_features, ages)


def _split(choice: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(choice, str):
        return choice, {}
    fields = dict(choice)
    return str(fields.pop("name", "softmax")), fields


def at_least_float32(x: Tensor) -> Tensor:
    """The same values in float32, or as they are where they are wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
