import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wrinkle.models.heads.rectified import rectified_distribution


def test_rectified_distribution_is_equation_9() -> None:
    given = torch.tensor([[-1.0, 1.0, 3.0], [0.0, 0.0, 0.5], [2.0, 2.0, 4.0]])
    expected = torch.tensor([[0.0, 0.25, 0.75], [0.0, 0.0, 1.0], [0.25, 0.25, 0.5]])
    assert torch.equal(rectified_distribution(given), expected)


def test_rectified_distribution_without_a_positive_output_can_still_learn() -> None:
    outputs = torch.tensor([[-1.0, -1.0 + math.log(3)], [0.0, 0.0]], requires_grad=True)
    with torch.no_grad():
        outputs[0] -= 1  # both negative, still 1 : 3
    probabilities = rectified_distribution(outputs)
    torch.testing.assert_close(probabilities, torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
    probabilities[:, 1].log().sum().backward()
    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()
    assert (outputs.grad[:, 1] > 0).all()


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20))
def test_rectified_distribution_is_always_a_distribution(row: list[float]) -> None:
    probabilities = rectified_distribution(torch.tensor([row]))
    assert (probabilities >= 0).all()
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-5)
