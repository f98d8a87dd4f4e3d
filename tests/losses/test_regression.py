import pytest
import torch

from tests.losses.terms import loss_of
from wrinkle.losses import AbsoluteError, SquaredError

AGES = torch.arange(101.0)


def test_values_by_hand() -> None:
    raw, labels = torch.tensor([[0.0], [1.0]]), torch.tensor([53.0, 70.0])  # 50 and 75 years
    assert loss_of(AbsoluteError(), raw, labels, AGES, "regression").item() == pytest.approx(4)
    assert loss_of(SquaredError(), raw, labels, AGES, "regression").item() == pytest.approx(17)


def test_values_of_an_expectation() -> None:
    logits = torch.zeros(1, 3)
    loss = loss_of(AbsoluteError(), logits, torch.tensor([0.0]), torch.arange(3.0), "softmax")
    assert loss.item() == pytest.approx(1)
