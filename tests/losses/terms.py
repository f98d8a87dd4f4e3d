"""A term's value on raw outputs and labels, as the tests of all terms need it."""

import math

import torch
from torch import Tensor

from wrinkle.losses import Target, Term
from wrinkle.models import Head, Output, create_head


def loss_of(
    term: Term,
    raw: Tensor,
    age: Tensor,
    ages: Tensor,
    head: str = "softmax",
    deviation: Tensor | None = None,
) -> Tensor:
    known = torch.full_like(age, math.nan) if deviation is None else deviation
    return term(Output(raw), Target(age, known), made(head, ages))


def made(head: str, ages: Tensor) -> Head:
    return create_head(head, 8, ages)
