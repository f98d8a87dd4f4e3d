import math

import pytest
import torch

from wrinkle.errors import WrinkleError
from wrinkle.losses import LOSSES, GroupEncoding, Target
from wrinkle.models import Output, create_head

NAN = math.nan
CHOICE = {"name": "group_encoding", "n": 4}


def reference(raw: torch.Tensor, possible: list[set[int]], penalty: float) -> float:
    """Group by group, in float64; `possible` has the ages that each label allows."""
    total = 0.0
    for row, ages in zip(raw.double().tolist(), possible, strict=True):
        for j, logit in enumerate(row):
            group = set(range(j - 3, j + 1))
            p = 1 / (1 + math.exp(-logit))
            if ages <= group:
                total -= penalty * math.log(p)
            elif not ages & group:
                total -= math.log(1 - p)
    return total / len(possible)


@pytest.mark.parametrize("penalty", [1.0, 2.5])
def test_values_of_ages_and_ranges(penalty: float) -> None:
    torch.manual_seed(0)
    head, term = create_head(CHOICE, 8, torch.arange(12.0)), GroupEncoding(penalty)
    raw = torch.randn(3, 15)
    exact = Target(torch.tensor([0.0, 5.4, 30.0]), torch.full((3,), NAN))
    found = term(Output(raw), exact, head).item()
    assert found == pytest.approx(reference(raw, [{0}, {5}, {11}], penalty), rel=1e-5)
    spans = torch.tensor([[2.0, 4.0], [0.0, 8.0], [11.0, 11.0]])
    ranged = Target(spans.mean(1), torch.full((3,), NAN), spans, torch.zeros(3, dtype=torch.bool))
    expected = reference(raw, [{2, 3, 4}, set(range(9)), {11}], penalty)
    assert term.of_range(Output(raw), ranged, head).item() == pytest.approx(expected, rel=1e-5)


def test_penalty_is_checked() -> None:
    with pytest.raises(WrinkleError, match="penalty"):
        LOSSES.create("group_encoding", {"penalty": 0})
