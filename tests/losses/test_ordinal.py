import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.losses.terms import loss_of
from wrinkle.losses import Ordinal


@given(
    st.lists(st.lists(st.floats(-20, 20), min_size=4, max_size=4), min_size=1, max_size=3),
    st.integers(0, 5),
)
def test_value_is_the_sum_of_binary_cross_entropies(raw: list[list[float]], label: int) -> None:
    """Niu et al., Eq. 3, question by question, in float64."""
    ages = np.arange(5)
    expected = 0.0
    for row in raw:
        for k, logit in enumerate(row):
            p = 1 / (1 + math.exp(-logit))
            expected -= math.log(p if label > ages[k] else 1 - p) / len(raw)
    loss = loss_of(
        Ordinal(),
        torch.tensor(raw, dtype=torch.float64),
        torch.full((len(raw),), float(label), dtype=torch.float64),
        torch.from_numpy(ages).double(),
        "or_cnn",
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(("label", "older"), [(1.4, 1), (1.6, 2), (0.0, 0), (3.0, 3), (9.0, 3)])
def test_a_label_between_ages_is_the_nearer_one(label: float, older: int) -> None:
    raw = torch.tensor([[50.0] * older + [-50.0] * (3 - older)])
    loss = loss_of(Ordinal(), raw, torch.tensor([label]), torch.arange(4.0), "coral")
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_extreme_logits_have_a_finite_gradient() -> None:
    raw = torch.tensor([[1e4, -1e4, 1e4]], requires_grad=True)
    loss_of(Ordinal(), raw, torch.tensor([0.0]), torch.arange(4.0), "or_cnn").backward()
    assert raw.grad is not None
    torch.testing.assert_close(raw.grad, torch.tensor([[1.0, 0.0, 1.0]]))


@pytest.mark.parametrize("head", ["or_cnn", "coral"])
def test_equals_coral_pytorch(head: str) -> None:
    losses = pytest.importorskip("coral_pytorch.losses")
    levels_of = pytest.importorskip("coral_pytorch.dataset").levels_from_labelbatch
    torch.manual_seed(0)
    raw, labels = 3 * torch.randn(64, 100), torch.randint(0, 101, (64,))
    found = loss_of(Ordinal(), raw, labels.float(), torch.arange(101.0), head)
    torch.testing.assert_close(found, losses.coral_loss(raw, levels_of(labels, 101)))
