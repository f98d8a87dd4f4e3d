import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.losses.terms import loss_of
from wrinkle.errors import WrinkleError
from wrinkle.losses import DLDLv2, age_estimation_loss

AGES = torch.arange(101.0)


def distribution_loss(
    logits: Tensor, age: Tensor, ages: Tensor, sigma: float = 2.0, deviation: Tensor | None = None
) -> Tensor:
    return loss_of(DLDLv2(sigma), logits, age, ages, deviation=deviation)


def reference(probabilities: np.ndarray, age: list[float], sigma: list[float]) -> float:
    """ADPF's Eq. 10–13, one face and one age after the other, in float64."""
    total = 0.0
    for row, mu, width in zip(probabilities, age, sigma, strict=True):
        label = [math.exp(-((g - mu) ** 2) / (2 * width**2)) for g in range(len(row))]
        label = [p / sum(label) for p in label]
        expectation = sum(p * g for g, p in enumerate(row))
        total += abs(expectation - mu)
        total += sum(p * math.log(p / q) for p, q in zip(label, row, strict=True) if p > 0)
    return total / len(age)


def softmax(logits: Tensor) -> np.ndarray:
    weights = np.exp(logits.double().numpy())
    return weights / weights.sum(-1, keepdims=True)


ages = st.floats(0, 100)
widths = st.floats(0.3, 8)


@given(age=st.lists(ages, min_size=1, max_size=4), sigma=widths, seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_both_losses_are_the_papers_equations(age: list[float], sigma: float, seed: int) -> None:
    logits = 3 * torch.randn(len(age), 101, generator=torch.Generator().manual_seed(seed))
    expected = reference(softmax(logits), age, [sigma] * len(age))
    labels = torch.tensor(age)
    assert distribution_loss(logits, labels, AGES, sigma).item() == pytest.approx(expected, 1e-4)
    loss = age_estimation_loss(logits.softmax(-1), labels, AGES, sigma)
    assert loss.item() == pytest.approx(expected, 1e-4)


def test_float64_stays_float64() -> None:
    logits = torch.linspace(-3, 3, 202, dtype=torch.float64).reshape(2, 101)
    loss = distribution_loss(logits, torch.tensor([20.5, 70.0]).double(), AGES.double(), 2.5)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(reference(softmax(logits), [20.5, 70], [2.5, 2.5]), 1e-12)


def test_a_perfect_prediction_has_zero_loss() -> None:
    logits = -0.5 * ((AGES - 40) / 3)[None] ** 2
    assert distribution_loss(logits, torch.tensor([40.0]), AGES, 3.0).item() == pytest.approx(
        0, abs=1e-5
    )


def test_each_label_may_have_its_own_deviation() -> None:
    logits = torch.randn(3, 101, generator=torch.Generator().manual_seed(5))
    labels, deviation = torch.tensor([10.0, 30.0, 50.0]), torch.tensor([4.0, math.nan, 0.0])
    loss = distribution_loss(logits, labels, AGES, 2.0, deviation)
    # NaN: not known, so sigma; 0: floored at 0.1.
    expected = reference(softmax(logits), labels.tolist(), [4.0, 2.0, 0.1])
    assert loss.item() == pytest.approx(expected, 1e-5)


@pytest.mark.parametrize("age", [0.0, 100.0, 116.0])
def test_extreme_logits_have_finite_loss_and_gradient(age: float) -> None:
    logits = torch.zeros(1, 101)
    logits[0, 50] = 1e4
    logits.requires_grad_()
    loss = distribution_loss(logits, torch.tensor([age]), AGES, 0.1)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[0, int(min(age, 100))] < -0.9


def test_gradient_is_right() -> None:
    logits = torch.linspace(-1, 1, 22, dtype=torch.float64).reshape(2, 11).requires_grad_()
    labels = torch.tensor([2.3, 9.0], dtype=torch.float64)
    ages = torch.arange(11, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: distribution_loss(x, labels, ages, 1.5), (logits,))


def test_bfloat16_logits_are_computed_in_float32() -> None:
    logits = torch.linspace(-2, 2, 101)[None].bfloat16()
    loss = distribution_loss(logits, torch.tensor([30.0]), AGES, 2.0)
    assert loss.item() == pytest.approx(reference(softmax(logits.float()), [30.0], [2.0]), 1e-5)


def test_a_probability_of_zero_has_a_finite_loss() -> None:
    probabilities = torch.tensor([[1.0, 0.0]], requires_grad=True)
    loss = age_estimation_loss(probabilities, torch.tensor([1.0]), torch.arange(2.0), 0.1)
    loss.backward()
    assert loss.item() == pytest.approx(1 + 12 * math.log(10), rel=1e-4)
    assert probabilities.grad is not None
    assert probabilities.grad.isfinite().all()


@pytest.mark.parametrize("sigma", [0, -1.0, math.nan, math.inf, "2", None])
def test_impossible_sigma_is_refused(sigma: float) -> None:
    with pytest.raises(WrinkleError, match="sigma is"):
        distribution_loss(torch.zeros(1, 101), torch.zeros(1), AGES, sigma)


@pytest.mark.parametrize(
    ("logits", "age"), [((2, 101), (1,)), ((2, 100), (2,)), ((101,), (1,)), ((2, 101), (2, 1))]
)
def test_wrong_shapes_are_refused(logits: tuple[int, ...], age: tuple[int, ...]) -> None:
    if logits != (2, 100):  # which no head with these ages gives
        with pytest.raises(WrinkleError, match="outputs take ages"):
            distribution_loss(torch.zeros(logits), torch.zeros(age), AGES)
    with pytest.raises(WrinkleError, match=r"takes probabilities \(B, A\)"):
        age_estimation_loss(torch.zeros(logits), torch.zeros(age), AGES, 2.0)


def test_wrong_number_of_deviations_is_refused() -> None:
    with pytest.raises(WrinkleError, match="deviation has shape"):
        distribution_loss(torch.zeros(2, 101), torch.zeros(2), AGES, 2.0, torch.ones(3))
