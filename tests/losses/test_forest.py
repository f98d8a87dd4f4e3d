import math

import pytest
import torch

from tests.models.heads.test_forest import NAMES, forest
from wrinkle.losses import Forest, Target
from wrinkle.models import Output

NAN = math.nan


@pytest.mark.parametrize("name", NAMES)
def test_value_is_the_mean_over_trees(name: str) -> None:
    head = forest(name)
    raw, ages = torch.randn(3, 5), torch.tensor([2.0, 5.4, 30.0])
    found = Forest()(Output(raw), Target(ages, torch.full((3,), NAN)), head).item()
    total = 0.0
    for tree in range(2):
        p = (head.routes(raw.double())[:, tree] @ head.leaves()[tree].double()).tolist()
        for row, age in zip(p, ages.tolist(), strict=True):
            if name == "regression_forest":
                total -= math.log(row[min(round(age), 10)])
            else:
                weights = [math.exp(-((a - age) ** 2) / (2 * 2.0**2)) for a in range(11)]
                label = [w / sum(weights) for w in weights]
                total -= sum(d * math.log(q) for d, q in zip(label, row, strict=True))
    assert found == pytest.approx(total / 6, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_range_is_the_probability_in_it(name: str) -> None:
    head = forest(name)
    raw, spans = torch.randn(2, 5), torch.tensor([[2.0, 5.0], [0.0, 3.0]])
    target = Target(spans.mean(1), torch.full((2,), NAN), spans, torch.zeros(2, dtype=torch.bool))
    p = head.by_tree(raw)
    expected = -torch.stack([p[0, :, 2:6].sum(-1).log(), p[1, :, :4].sum(-1).log()]).mean()
    torch.testing.assert_close(Forest().of_range(Output(raw), target, head), expected)


@pytest.mark.parametrize("name", NAMES)
def test_leaves_have_no_gradient(name: str) -> None:
    head = forest(name)
    assert {n for n, _ in head.named_parameters()} == {"fc.weight", "fc.bias"}
