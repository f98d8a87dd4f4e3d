import math

import pytest
import torch

from tests.losses.terms import loss_of
from wrinkle.errors import WrinkleError
from wrinkle.losses import DLDL, DLDLv2

AGES = torch.arange(30.0)


def kl(label: list[float], logits: torch.Tensor) -> float:
    """KL(label ‖ softmax of the logits), age by age, in float64."""
    q = logits.double().softmax(-1).tolist()
    return sum(p * math.log(p / r) for p, r in zip(label, q, strict=True) if p > 0)


def test_value_is_the_divergence_from_a_gaussian() -> None:
    raw, ages, deviations = torch.randn(3, 30), [4.0, 12.5, 29.0], [math.nan, 3.0, math.nan]
    total = 0.0
    for row, age, deviation in zip(raw, ages, deviations, strict=True):
        sigma = 1.5 if math.isnan(deviation) else deviation
        weights = [math.exp(-((a - age) ** 2) / (2 * sigma**2)) for a in range(30)]
        total += kl([w / sum(weights) for w in weights], row)
    found = loss_of(DLDL(1.5), raw, torch.tensor(ages), AGES, deviation=torch.tensor(deviations))
    assert found.item() == pytest.approx(total / 3, rel=1e-5)


def test_dldl_v2_adds_the_error_of_the_expectation() -> None:
    raw, ages = torch.randn(3, 30), torch.tensor([4.0, 12.5, 29.0])
    error = ((raw.softmax(-1) * AGES).sum(-1) - ages).abs().mean()
    torch.testing.assert_close(
        loss_of(DLDLv2(2.0), raw, ages, AGES), loss_of(DLDL(2.0), raw, ages, AGES) + error
    )


def test_sigma_is_checked() -> None:
    with pytest.raises(WrinkleError, match="sigma is -1"):
        DLDL(-1)
