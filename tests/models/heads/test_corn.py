import math

import pytest
import torch

from wrinkle.models import create_head

RAW = torch.tensor([[2.0, 0.5, -1.0], [-3.0, 4.0, 4.0], [40.0, 40.0, 40.0]])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_distribution_is_the_product_of_conditional_probabilities() -> None:
    head = create_head("corn", 6, torch.arange(4.0)).double()
    found = head.distribution(RAW.double())
    for row, p in zip(RAW.tolist(), found.tolist(), strict=True):
        older = [1.0]
        for logit in row:
            older.append(older[-1] * sigmoid(logit))
        expected = [a - b for a, b in zip(older, [*older[1:], 0.0], strict=True)]
        assert p == pytest.approx(expected, abs=1e-12)
    torch.testing.assert_close(head.log_distribution(RAW.double()).exp(), found)


def test_age_counts_the_unconditional_probabilities_above_a_half() -> None:
    head = create_head("corn", 6, torch.tensor([10.0, 20.0, 40.0, 80.0]))
    # 0.88 and 0.88 · 0.62 = 0.55 are above ½; in the second row 0.05 is not, whatever follows.
    assert head.age(RAW).tolist() == [40, 10, 80]


def test_small_probabilities_keep_their_logarithm() -> None:
    head = create_head("corn", 6, torch.arange(3.0))
    raw = torch.tensor([[100.0, 100.0]], requires_grad=True)
    log_p = head.log_distribution(raw)
    torch.testing.assert_close(log_p, torch.tensor([[-100.0, -100.0, 0.0]]))
    log_p[0, 0].backward()
    assert raw.grad is not None
    assert raw.grad[0, 0].item() == pytest.approx(-1)


def test_it_starts_with_equal_probabilities() -> None:
    head = create_head("corn", 6, torch.arange(8.0))
    p = head.distribution(head(torch.zeros(1, 6)))
    torch.testing.assert_close(p, torch.full((1, 8), 1 / 8))
