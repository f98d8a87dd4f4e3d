"""What both forests share: trees, splits and routes."""

import pytest
import torch

from wrinkle.errors import WrinkleError
from wrinkle.models import create_head
from wrinkle.models.heads.forest import Forest

NAMES = ["regression_forest", "distribution_forest"]
SMALL = {"trees": 2, "depth": 2, "units": 5}


def forest(name: str, ages: int = 11, **fields: object) -> Forest:
    torch.manual_seed(0)
    head = create_head({"name": name, **SMALL, **fields}, 6, torch.arange(float(ages)))
    assert isinstance(head, Forest)
    return head


@pytest.mark.parametrize("name", NAMES)
def test_routes_multiply_the_splits_of_a_path(name: str) -> None:
    head = forest(name)
    raw = torch.randn(3, 5, dtype=torch.float64)
    found = head.routes(raw)
    assert found.shape == (3, 2, 4)
    for face in range(3):
        for tree in range(2):
            top, left, right = raw[face].sigmoid()[head.nodes[tree]].tolist()
            expected = [top * left, top * (1 - left), (1 - top) * right, (1 - top) * (1 - right)]
            assert found[face, tree].tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_tree_uses_each_unit_once_and_a_saved_forest_keeps_them(name: str) -> None:
    head = forest(name, depth=3, units=9)
    assert all(len(set(nodes)) == 7 for nodes in head.nodes.tolist())
    torch.manual_seed(1)
    other = create_head({"name": name, "trees": 2, "depth": 3, "units": 9}, 6, torch.arange(11.0))
    raw = torch.randn(3, 9)
    assert not torch.equal(head.distribution(raw), other.distribution(raw))
    other.load_state_dict(head.state_dict())
    assert torch.equal(head.distribution(raw), other.distribution(raw))


@pytest.mark.parametrize("name", NAMES)
def test_a_face_that_reaches_one_leaf_has_its_distribution(name: str) -> None:
    head = forest(name, trees=1, units=3)
    raw = torch.empty(1, 3)
    raw[0, head.nodes[0]] = torch.tensor([50.0, -50.0, 0.0])  # left, then right
    torch.testing.assert_close(head.distribution(raw)[0], head.leaves()[0, 1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"trees": 0}, "trees is 0"),
        ({"depth": 0}, "depth is 0"),
        ({"depth": 3}, "units is 5; a tree of depth 3 needs 7"),
    ],
)
def test_impossible_forests_are_one_line(name: str, fields: dict[str, int], line: str) -> None:
    with pytest.raises(WrinkleError, match=line):
        forest(name, **fields)
