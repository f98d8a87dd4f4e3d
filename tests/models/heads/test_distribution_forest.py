import math

import pytest
import torch

from tests.models.heads.test_forest import forest
from wrinkle.errors import WrinkleError


def test_leaves_are_updated_as_in_the_paper() -> None:
    """One face, one leaf, one age and one iteration after the other, in float64."""
    head = forest("distribution_forest", ages=9, sigma=1.5).double()
    head.updates = 3  # type: ignore[misc]
    raw = torch.randn(20, 5, dtype=torch.float64)
    ages = torch.rand(20, dtype=torch.float64) * 8
    routes = head.routes(raw).tolist()
    labels = []
    for y in ages.tolist():
        weights = [math.exp(-((a - y) ** 2) / (2 * 1.5**2)) for a in range(9)]
        labels.append([w / sum(weights) for w in weights])
    expected = []
    for tree in range(2):
        q = head.q[tree].tolist()
        for _ in range(3):
            new = [[0.0] * 9 for _ in range(4)]
            for face in range(20):
                reach = routes[face][tree]
                for a in range(9):
                    p = sum(reach[leaf] * q[leaf][a] for leaf in range(4))
                    for leaf in range(4):
                        new[leaf][a] += labels[face][a] * reach[leaf] * q[leaf][a] / p
            q = [[value / sum(row) for value in row] for row in new]
        expected.append(q)
    head.after_epoch(raw, ages)
    torch.testing.assert_close(head.q, torch.tensor(expected, dtype=torch.float64))


def test_an_update_lowers_the_loss() -> None:
    head = forest("distribution_forest", ages=81)
    raw = torch.randn(200, 5)
    ages = (40 + 15 * raw[:, head.nodes[0, 0]]).clamp(0, 80)
    label = head.label(ages)[:, None]
    before = (label * head.log_by_tree(raw)).sum()
    head.after_epoch(raw, ages)
    assert (label * head.log_by_tree(raw)).sum() > before
    torch.testing.assert_close(head.leaves().sum(-1), torch.ones(2, 4))


def test_sigma_is_checked() -> None:
    with pytest.raises(WrinkleError, match="sigma is 0"):
        forest("distribution_forest", sigma=0.0)
