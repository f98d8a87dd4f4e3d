import doctest
import inspect
import math

import pytest
import torch

import wrinkle.losses.cross_entropy
from wrinkle.errors import WrinkleError
from wrinkle.losses import LOSSES, cross_entropy_loss


def test_hand_computed() -> None:
    logits = torch.tensor([[0.0, math.log(2), 0.0], [0.0, 0.0, math.log(6)]])
    loss = cross_entropy_loss(logits, torch.tensor([1.2, 2.0]), torch.arange(3.0))
    assert loss.item() == pytest.approx(-(math.log(2 / 4) + math.log(6 / 8)) / 2)


@pytest.mark.parametrize(
    ("age", "label"), [(0.0, 0), (0.5, 0), (1.5, 2), (2.49, 2), (3.6, 3), (110.0, 3)]
)
def test_labels_are_rounded_and_kept_within_the_ages(age: float, label: int) -> None:
    logits = torch.arange(4.0)[None]
    expected = -logits.log_softmax(-1)[0, label].item()
    loss = cross_entropy_loss(logits, torch.tensor([age]), torch.arange(4.0))
    assert loss.item() == pytest.approx(expected)


def test_ages_need_not_start_at_zero() -> None:
    logits = torch.tensor([[0.0, 2.0]])
    loss = cross_entropy_loss(logits, torch.tensor([17.0]), torch.tensor([16.0, 17.0]))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(WrinkleError, match=r"takes scores \(B, A\)"):
        cross_entropy_loss(torch.zeros(2, 4), torch.zeros(3), torch.arange(4.0))


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_called_alike(name: str) -> None:
    loss = LOSSES[name]
    assert list(inspect.signature(loss).parameters)[:3] == ["logits", "age", "ages"]
    logits = torch.zeros(2, 5, requires_grad=True)
    given = {"sub_logits": torch.zeros(2, 3, 5), "maps": torch.rand(2, 3, 4, 4)}
    further = {n: t for n, t in given.items() if n in inspect.signature(loss).parameters}
    value = loss(logits, torch.tensor([1.0, 4.0]), torch.arange(5.0), **further)
    assert value.shape == ()
    value.backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] < 0
    assert logits.grad[1, 4] < 0


def test_examples() -> None:
    failed, tried = doctest.testmod(wrinkle.losses.cross_entropy)
    assert failed == 0
    assert tried >= 2
