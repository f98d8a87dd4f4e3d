import math

import pytest
import torch

from tests.models.heads.test_forest import forest
from wrinkle.models.heads.regression_forest import SMALLEST_DEVIATION


def test_the_age_is_the_mean_of_the_leaves() -> None:
    head = forest("regression_forest")
    raw = torch.randn(4, 5)
    expected = torch.stack(
        [(head.routes(raw)[:, tree] * head.means[tree]).sum(-1) for tree in range(2)]
    ).mean(0)
    torch.testing.assert_close(head.age(raw), expected)
    assert head.means[0].tolist() == [1.25, 3.75, 6.25, 8.75]


def test_leaves_are_updated_as_in_the_paper() -> None:
    """One face, one leaf and one iteration after the other, in float64."""
    head = forest("regression_forest", ages=81).double()
    head.updates = 3  # type: ignore[misc]
    raw = torch.randn(40, 5, dtype=torch.float64)
    ages = torch.rand(40, dtype=torch.float64) * 80
    routes = head.routes(raw).tolist()
    expected = []
    for tree in range(2):
        mean, deviation = head.means[tree].tolist(), head.deviations[tree].tolist()
        for _ in range(3):
            shares = []
            for face, y in enumerate(ages.tolist()):
                joint = [
                    routes[face][tree][leaf]
                    * math.exp(-((y - mean[leaf]) ** 2) / (2 * deviation[leaf] ** 2))
                    / deviation[leaf]
                    for leaf in range(4)
                ]
                shares.append([j / sum(joint) for j in joint])
            for leaf in range(4):
                total = sum(s[leaf] for s in shares)
                mean[leaf] = sum(s[leaf] * y for s, y in zip(shares, ages.tolist(), strict=True))
                mean[leaf] /= total
                spread = sum(
                    s[leaf] * (y - mean[leaf]) ** 2
                    for s, y in zip(shares, ages.tolist(), strict=True)
                )
                deviation[leaf] = max(math.sqrt(spread / total), SMALLEST_DEVIATION)
        expected.append((mean, deviation))
    head.after_epoch(raw, ages)
    for tree, (mean, deviation) in enumerate(expected):
        assert head.means[tree].tolist() == pytest.approx(mean, rel=1e-9)
        assert head.deviations[tree].tolist() == pytest.approx(deviation, rel=1e-9)


def test_an_update_raises_the_likelihood_and_keeps_unreached_leaves() -> None:
    head = forest("regression_forest", ages=81)
    raw = torch.randn(200, 5)
    raw[:, head.nodes[0, 0]] = 60.0  # in the first tree no face goes to the right
    ages = (40 + 15 * raw[:, head.nodes[0, 1]]).clamp(0, 80)
    before, unreached = head.log_by_tree(raw), head.means[0, 2:].clone()
    head.after_epoch(raw, ages)
    label = head.label(ages)[:, None]
    assert (label * head.log_by_tree(raw)).sum() > (label * before).sum()
    assert torch.equal(head.means[0, 2:], unreached)
    assert head.means.isfinite().all()
    assert (head.deviations >= SMALLEST_DEVIATION).all()
