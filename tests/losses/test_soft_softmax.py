import math

import pytest
import torch

from tests.losses.terms import loss_of
from tests.losses.test_dldl import AGES, kl
from wrinkle.losses import DLDL, SoftSoftmax, Target


def area(low: float, high: float) -> float:
    """Of the standard normal distribution, by complementary error functions."""
    return (math.erfc(low / math.sqrt(2)) - math.erfc(high / math.sqrt(2))) / 2


@pytest.mark.parametrize("sigma", [0.3, 2.0, 6.0])
def test_value_is_the_divergence_from_gaussian_integrals(sigma: float) -> None:
    raw, ages = torch.randn(3, 30), [4.0, 12.5, 27.0]
    total = 0.0
    for row, age in zip(raw, ages, strict=True):
        parts = [area((a - 0.5 - age) / sigma, (a + 0.5 - age) / sigma) for a in range(30)]
        total += kl([part / sum(parts) for part in parts], row)
    found = loss_of(SoftSoftmax(sigma), raw, torch.tensor(ages), AGES)
    assert found.item() == pytest.approx(total / 3, rel=1e-5)


def test_a_label_beyond_the_ages_is_the_last_one() -> None:
    target = Target(torch.tensor([116.0, -9.0]), torch.full((2,), math.nan))
    label = SoftSoftmax(0.2).log_label(target, AGES)
    assert label.isfinite().all()
    torch.testing.assert_close(label.exp(), torch.eye(30)[[29, 0]])


def test_it_is_nearly_dldl_if_sigma_is_large() -> None:
    raw, ages = torch.randn(3, 30), torch.tensor([10.0, 12.5, 20.0])
    found, other = (loss_of(t, raw, ages, AGES) for t in (SoftSoftmax(3.0), DLDL(3.0)))
    torch.testing.assert_close(found, other, rtol=1e-2, atol=0)
    assert found != other
