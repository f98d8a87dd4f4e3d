import math

import pytest
import torch

from wrinkle.losses import MovingWindow, Target
from wrinkle.models import Output, create_head

NAN = math.nan


def test_values_of_ages_and_ranges() -> None:
    """Window by window, in float64."""
    torch.manual_seed(0)
    head = create_head({"name": "moving_window", "half_width": 4.0}, 8, torch.arange(21.0))
    raw = torch.randn(4, 21).tanh()
    spans = torch.tensor([[10.0, 10.0], [0.5, 0.5], [30.0, 30.0], [6.0, 9.0]])
    values = []
    for row, (first, last) in zip(raw.double().tolist(), spans.tolist(), strict=True):
        total = 0.0
        for age, rho in enumerate(row):
            low, high = max(age - 4, 0), min(age + 4, 20)
            ends = [min(1.0, max(-1.0, (2 * y - low - high) / (high - low))) for y in (first, last)]
            total += (max(ends[0] - rho, 0) + max(rho - ends[1], 0)) ** 2
        values.append(total)
    exact = Target(spans[:3, 0], torch.full((3,), NAN))
    found = MovingWindow()(Output(raw[:3]), exact, head).item()
    assert found == pytest.approx(sum(values[:3]) / 3, rel=1e-5)
    ranged = Target(spans.mean(1), torch.full((4,), NAN), spans, torch.zeros(4, dtype=torch.bool))
    assert MovingWindow().of_range(Output(raw), ranged, head).item() == pytest.approx(
        sum(values) / 4, rel=1e-5
    )
