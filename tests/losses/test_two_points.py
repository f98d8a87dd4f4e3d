import math

import pytest
import torch

from wrinkle.losses import Target, TwoPoints
from wrinkle.models import Output, create_head

NAN = math.nan


@pytest.mark.parametrize("weight", [10.0, 0.5])
def test_values_of_ages_and_ranges(weight: float) -> None:
    """Face by face, in float64."""
    torch.manual_seed(0)
    head = create_head("two_points", 8, torch.arange(101.0))
    raw = torch.randn(4, 12)
    raw[:, -1] = torch.tensor([3.0, 9.0, 2.5, 4.1])  # ages 30, 90, 25, 41
    spans = torch.tensor([[33.0, 33.0], [90.0, 90.0], [20.0, 29.0], [50.0, 59.0]])
    values = []
    for row, age, label in zip(raw.double(), (30, 90, 25, 41), (33, 90, 25, 50), strict=True):
        q = row[:-1].softmax(-1).tolist()
        low, share = divmod(label / 10, 1)
        parts = [(int(low), 1 - share), (int(low) + 1, share)]
        kl = sum(p * math.log(p / q[k]) for k, p in parts if p > 1e-9)
        values.append(weight * kl + abs(age - label))
    term = TwoPoints(weight)
    exact = term(Output(raw[:2]), Target(spans[:2, 0], torch.full((2,), NAN)), head)
    assert exact.item() == pytest.approx(sum(values[:2]) / 2, rel=1e-5)
    ranged = Target(spans.mean(1), torch.full((4,), NAN), spans, torch.zeros(4, dtype=torch.bool))
    found = term.of_range(Output(raw), ranged, head)
    assert found.item() == pytest.approx(sum(values) / 4, rel=1e-5)
