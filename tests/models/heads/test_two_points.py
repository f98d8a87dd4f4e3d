import pytest
import torch

from wrinkle.errors import WrinkleError
from wrinkle.models import create_head


def test_a_label_is_its_shares_of_two_points() -> None:
    head = create_head("two_points", 6, torch.arange(101.0))
    assert head.points.tolist() == list(range(0, 101, 10))
    label = head.label(torch.tensor([68.0, 70.0, 0.0]))
    expected = torch.zeros(3, 11)
    expected[0, [6, 7]] = torch.tensor([0.2, 0.8])
    expected[1, 7] = expected[2, 0] = 1
    torch.testing.assert_close(label, expected)


def test_the_age_starts_as_the_mean_over_points() -> None:
    head = create_head("two_points", 6, torch.arange(101.0))
    raw = head(torch.randn(4, 6) * 50)
    expected = (head.log_points(raw).exp() * head.points).sum(-1)
    torch.testing.assert_close(head.age(raw), expected)


def test_the_last_point_is_not_below_the_last_age() -> None:
    for last, points in ((110, 12), (111, 13), (3, 2)):
        assert len(create_head("two_points", 6, torch.arange(last + 1.0)).points) == points


def test_gap_is_checked() -> None:
    with pytest.raises(WrinkleError, match="gap is 0"):
        create_head({"name": "two_points", "gap": 0.0}, 6, torch.arange(101.0))
