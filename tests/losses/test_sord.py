import math

import pytest
import torch

from tests.losses.terms import loss_of
from tests.losses.test_dldl import AGES, kl
from wrinkle.errors import WrinkleError
from wrinkle.losses import LOSSES, SORD


@pytest.mark.parametrize(("distance", "power"), [("squared", 2), ("absolute", 1)])
def test_value_is_the_divergence_from_the_soft_label(distance: str, power: int) -> None:
    raw, ages = torch.randn(3, 30), [4.0, 12.5, 29.0]
    total = 0.0
    for row, age in zip(raw, ages, strict=True):
        weights = [math.exp(-(abs(a - age) ** power)) for a in range(30)]
        total += kl([w / sum(weights) for w in weights], row)
    found = loss_of(SORD(distance), raw, torch.tensor(ages), AGES)  # type: ignore[arg-type]
    assert found.item() == pytest.approx(total / 3, rel=1e-5)


def test_another_distance_is_one_line() -> None:
    with pytest.raises(WrinkleError, match="distance is 'cubic'"):
        LOSSES.create("sord", {"distance": "cubic"})
