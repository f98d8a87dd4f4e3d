import numpy as np
import pytest
import torch

from tests.losses.terms import loss_of
from wrinkle.losses import LOSSES, MeanVariance


@pytest.mark.parametrize(("mean", "variance"), [(0.2, 0.05), (0.0, 1.0), (1.0, 0.0)])
def test_value_is_equations_2_and_4(mean: float, variance: float) -> None:
    random = np.random.default_rng(0)
    logits, labels, ages = random.normal(size=(4, 6)), [0, 2, 5, 3.5], np.arange(20, 26)
    total = 0.0
    for row, y in zip(logits, labels, strict=True):
        p = np.exp(row) / np.exp(row).sum()
        m = sum(p_j * a for p_j, a in zip(p, ages, strict=True))
        v = sum(p_j * (a - m) ** 2 for p_j, a in zip(p, ages, strict=True))
        total += mean * (m - y) ** 2 / 2 + variance * v
    term = MeanVariance(mean, variance)
    loss = loss_of(
        term, torch.from_numpy(logits), torch.tensor(labels).double(), torch.from_numpy(ages)
    )
    assert loss.item() == pytest.approx(total / 4, rel=1e-12)


def test_weights_are_checked() -> None:
    with pytest.raises(Exception, match="mean"):
        LOSSES.create("mean_variance", {"mean": -1})
