import math

import pytest
import torch

from wrinkle.losses import BridgeNet, Target
from wrinkle.models import Output, create_head

NAN = math.nan


@pytest.mark.parametrize("gates", [0.0, 1.0, 0.3])
def test_values_of_ages_and_ranges(gates: float) -> None:
    """Regressor by regressor, in float64."""
    torch.manual_seed(0)
    head = create_head({"name": "bridge_net", "depth": 2}, 8, torch.arange(61.0))
    assert head.half_width == 20
    raw = torch.randn(4, head.gate_outputs + 7)
    spans = torch.tensor([[30.0, 30.0], [7.0, 7.0], [90.0, 90.0], [20.0, 29.0]])
    pi, years = head.gates(raw.double()).tolist(), head.regressed(raw.double()).tolist()

    def away(value: float, low: float, high: float) -> float:
        return max(low - value, 0.0) + max(value - high, 0.0)

    values = []
    for face, (low, high) in enumerate(spans.tolist()):
        a, b = min(low, 60.0), min(high, 60.0)
        near = [k for k in range(7) if away(10.0 * k, a, b) <= 20]
        local = sum(away(years[face][k], low, high) for k in near) / len(near)
        chosen = math.log(sum(pi[face][k] for k in near))
        age = sum(p * r for p, r in zip(pi[face], years[face], strict=True))
        values.append(away(age, low, high) + local - gates * chosen)
    term, unknown = BridgeNet(gates), torch.full((3,), NAN)
    exact = term(Output(raw[:3]), Target(spans[:3, 0], unknown), head)
    assert exact.item() == pytest.approx(sum(values[:3]) / 3, rel=1e-4)
    ranged = Target(spans.mean(1), torch.full((4,), NAN), spans, torch.zeros(4, dtype=torch.bool))
    found = term.of_range(Output(raw), ranged, head)
    assert found.item() == pytest.approx(sum(values) / 4, rel=1e-4)


def test_gates_that_choose_wrongly_have_a_finite_gradient() -> None:
    head = create_head({"name": "bridge_net", "depth": 2}, 8, torch.arange(61.0))
    raw = torch.zeros(1, head.gate_outputs + 7)
    raw[0, 0], raw[0, 3] = 200, 200  # all to the first regressor
    raw.requires_grad_()
    BridgeNet()(Output(raw), Target(torch.tensor([60.0]), torch.tensor([NAN])), head).backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()
