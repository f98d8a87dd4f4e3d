import doctest
import math

import numpy as np
import pytest
import torch
import wrinkle.losses.dhaa

from wrinkle.errors import WrinkleError
from wrinkle.losses import cross_entropy_loss, dhaa_loss


def slow(logits: np.ndarray, age: list[int], sub_logits: np.ndarray) -> float:
    """Eq. 4, term by term."""
    total = 0.0
    for i, y in enumerate(age):
        for scores in [logits[i], *sub_logits[i]]:
            p = math.exp(scores[y]) / sum(math.exp(w) for w in scores)
            total -= math.log(p) / len(age)
    return total


@pytest.mark.parametrize("subs", [1, 3, 9])
def test_it_equals_eq_4(subs: int) -> None:
    torch.manual_seed(0)
    logits, sub_logits = torch.randn(4, 6), 2 * torch.randn(4, subs, 6)
    age = [0, 5, 2, 2]
    loss = dhaa_loss(logits, torch.tensor(age).float(), torch.arange(6.0), sub_logits)
    expected = slow(logits.double().numpy(), age, sub_logits.double().numpy())
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_ten_terms_of_equal_weight() -> None:
    logits, age, ages = torch.randn(3, 5), torch.tensor([1.0, 4.0, 0.0]), torch.arange(5.0)
    ten = dhaa_loss(logits, age, ages, logits[:, None].expand(3, 9, 5))
    torch.testing.assert_close(ten, 10 * cross_entropy_loss(logits, age, ages))


def test_gradients() -> None:
    logits = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    subs = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    age, ages = torch.tensor([1.0, 3.0]), torch.arange(4.0)
    assert torch.autograd.gradcheck(lambda a, b: dhaa_loss(a, age, ages, b), (logits, subs))


@pytest.mark.parametrize("shape", [(2, 5), (3, 9, 5), (2, 9, 4), (9, 2, 5)])
def test_wrong_shapes_are_one_line(shape: tuple[int, ...]) -> None:
    with pytest.raises(WrinkleError, match=r"sub_logits are \(B, S, A\) beside logits \(2, 5\)"):
        dhaa_loss(torch.zeros(2, 5), torch.zeros(2), torch.arange(5.0), torch.zeros(shape))


def test_examples() -> None:
    failed, tried = doctest.testmod(wrinkle.losses.dhaa)
    assert failed == 0
    assert tried > 0
