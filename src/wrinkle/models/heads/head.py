"""The base of all heads, and their registry."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import AfterValidator
from torch import Tensor, nn

from wrinkle.registry import Registry

SMALLEST_PROBABILITY = 1e-12
"""Smallest probability of which a logarithm is taken."""


class Head(nn.Module):
    """Base of all heads: features → raw output → distribution over ages, and age.

    A subclass's constructor takes `(in_features, ages, /, …fields)`; the subclass defines `forward`
    and `distribution`. Raw outputs may have any width. Losses use them through `log_distribution`
    or `age`, or directly.

    Args:
        ages: (A,) years, ascending: the ages of the distribution.
    """

    ages: Tensor
    """(A,) float, years; not in the state dict."""

    trained_as: ClassVar[str] = "distribution"
    """The kind of output that a loss can train: "distribution" (`log_distribution` has useful
    gradients), "ranks" (the raw output is the logits of age > a for each age a but the last),
    "value" (only `age` has useful gradients), or a name that the head's own loss has in `fits`."""

    def __init__(self, ages: Tensor) -> None:
        super().__init__()
        self.register_buffer("ages", ages.clone(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Compute the raw output.

        Args:
            features: (B, F).

        Returns:
            (B, …).
        """
        raise NotImplementedError

    def distribution(self, raw: Tensor) -> Tensor:
        """Convert the raw output to a distribution over ages.

        Args:
            raw: (B, …).

        Returns:
            (B, A), float32 or wider; rows sum to 1.
        """
        raise NotImplementedError

    def log_distribution(self, raw: Tensor) -> Tensor:
        """Raw output (B, …) → natural logarithm of `distribution`, clamped below at log 1e-12."""
        return self.distribution(raw).clamp_min(SMALLEST_PROBABILITY).log()

    def age(self, raw: Tensor) -> Tensor:
        """Decode the age as the head's paper does; here the mean of the distribution.

        Args:
            raw: (B, …).

        Returns:
            (B,) years.
        """
        # Not a matrix product: autocast would compute it in bf16 and round to half years.
        return (self.distribution(raw) * self.ages).sum(-1)

    def reset_parameters(self) -> None:
        """Initialise linear layers with N(0, 0.01²) and zero bias, in place.

        The distribution of an untrained softmax is then nearly uniform.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.01)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def after_epoch(self, raw: Tensor, ages: Tensor) -> None:
        """Hook after every training epoch, for heads with an update of their own; nothing here.

        Args:
            raw: (N, …), raw outputs for the epoch's N training faces, detached.
            ages: (N,) labels in years.
        """


HEADS: Registry[Head] = Registry("head", "wrinkle.models.heads")


def _checked(choice: str | dict[str, Any]) -> dict[str, Any]:
    name, fields = split_choice(choice)
    HEADS.check(name, fields)
    return {"name": name, **fields}


HeadChoice = Annotated[str | dict[str, Any], AfterValidator(_checked)]
"""A head in a recipe: its name, or a mapping of `name` and the head's fields."""


def create_head(choice: str | Mapping[str, Any], in_features: int, ages: Tensor) -> Head:
    """Build a head with random weights.

    Args:
        choice: a name in `HEADS`, or a mapping of "name" and the head's fields.
        in_features: F, the width of the features.
        ages: (A,) years, ascending.

    Returns:
        The head.

    Raises:
        WrinkleError: an unknown head or field, or a value of another type.
    """
    name, fields = split_choice(choice)
    return HEADS.create(name, fields, in_features, ages)


def split_choice(choice: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(choice, str):
        return choice, {}
    fields = dict(choice)
    return str(fields.pop("name", "softmax")), fields


def at_least_float32(x: Tensor) -> Tensor:
    """Convert a tensor to float32, unless its type is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def between_ages(value: Tensor, ages: Tensor) -> Tensor:
    """Distribution of a value: the probability is divided between the ages next to it.

    Args:
        value: (B,) years, clamped to the range of the ages.
        ages: (A,) years, ascending, A ≥ 2.

    Returns:
        (B, A), rows sum to 1; the mean is the value.
    """
    # 1 at ages up to the one before the value, 0 from the one after it. Not torch.searchsorted,
    # which has no counterpart in ONNX.
    passed = ((value[:, None] - ages[:-1]) / ages.diff()).clamp(0, 1)
    return F.pad(passed, (1, 0), value=1.0) - F.pad(passed, (0, 1))
