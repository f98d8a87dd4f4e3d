import pytest
import torch

from wrinkle.errors import WrinkleError
from wrinkle.models import create_head


def test_gates_are_the_sums_over_all_paths() -> None:
    """Each node passes its probability on to three children, the outer ones shared."""
    torch.manual_seed(0)
    head = create_head({"name": "bridge_net", "depth": 3}, 6, torch.arange(81.0)).double()
    raw = torch.randn(4, head.gate_outputs + 15, dtype=torch.float64)
    found = head.gates(raw)
    for row, gates in zip(raw, found, strict=True):
        level, start = {0: 1.0}, 0
        for width in (1, 3, 7):
            below: dict[int, float] = {}
            for node in range(width):
                three = row[start + 3 * node : start + 3 * node + 3].softmax(-1).tolist()
                for child, share in enumerate(three):
                    place = 2 * node + child
                    below[place] = below.get(place, 0.0) + level[node] * share
            level, start = below, start + 3 * width
        assert gates.tolist() == pytest.approx([level[k] for k in range(15)], abs=1e-12)


def test_neighbouring_nodes_share_a_child() -> None:
    head = create_head({"name": "bridge_net", "depth": 2}, 6, torch.arange(81.0))
    raw = torch.full((1, head.gate_outputs + 7), -40.0)
    raw[0, 0] = 40  # to the first node of the second level
    raw[0, 5] = 40  # and from it to its right child, which is its neighbour's left one
    torch.testing.assert_close(head.gates(raw), torch.eye(7)[None, 2])
    raw[0, :6] = torch.tensor([-40.0, 40, -40, 40, -40, -40])  # the neighbour's left child
    raw[0, 6] = 40
    torch.testing.assert_close(head.gates(raw), torch.eye(7)[None, 2])


def test_age_and_distribution_by_hand() -> None:
    head = create_head({"name": "bridge_net", "depth": 1}, 6, torch.arange(11.0))
    assert head.centres.tolist() == [0, 5, 10]
    # Gates ¼, ½, ¼; regressors 0, 5 + 10 · 0.05 and 10 (clamped).
    logits = torch.tensor([0.25, 0.5, 0.25]).log()
    raw = torch.cat([logits, torch.tensor([-0.3, 0.05, 0.2]).atanh()])[None]
    torch.testing.assert_close(head.age(raw), torch.tensor([0.25 * 0 + 0.5 * 5.5 + 0.25 * 10]))
    expected = torch.zeros(11)
    expected[[0, 5, 6, 10]] = 0.25
    torch.testing.assert_close(head.distribution(raw)[0], expected)


def test_no_level_is_one_line() -> None:
    with pytest.raises(WrinkleError, match="depth is 0"):
        create_head({"name": "bridge_net", "depth": 0}, 6, torch.arange(11.0))
