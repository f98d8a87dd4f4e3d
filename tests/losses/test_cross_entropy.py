import math

import pytest
import torch

from tests.losses.terms import loss_of
from wrinkle.errors import WrinkleError
from wrinkle.losses import CrossEntropy


def test_value_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(2), 0.0], [0.0, 0.0, math.log(6)]])
    loss = loss_of(CrossEntropy(), logits, torch.tensor([1.2, 2.0]), torch.arange(3.0))
    assert loss.item() == pytest.approx(-(math.log(2 / 4) + math.log(6 / 8)) / 2)


@pytest.mark.parametrize(
    ("age", "label"), [(0.0, 0), (0.5, 0), (1.5, 2), (2.49, 2), (3.6, 3), (110.0, 3)]
)
def test_labels_are_rounded_and_kept_within_the_ages(age: float, label: int) -> None:
    logits = torch.arange(4.0)[None]
    expected = -logits.log_softmax(-1)[0, label].item()
    loss = loss_of(CrossEntropy(), logits, torch.tensor([age]), torch.arange(4.0))
    assert loss.item() == pytest.approx(expected)


def test_ages_need_not_start_at_zero() -> None:
    logits = torch.tensor([[0.0, 2.0]])
    loss = loss_of(CrossEntropy(), logits, torch.tensor([17.0]), torch.tensor([16.0, 17.0]))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_value_of_a_rectified_distribution() -> None:
    outputs = torch.tensor([[-1.0, 1.0, 3.0]])
    loss = loss_of(CrossEntropy(), outputs, torch.tensor([1.0]), torch.arange(3.0), "rectified")
    assert loss.item() == pytest.approx(math.log(4))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(WrinkleError, match=r"outputs take ages \(2,\)"):
        loss_of(CrossEntropy(), torch.zeros(2, 4), torch.zeros(3), torch.arange(4.0))
