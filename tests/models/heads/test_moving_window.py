import pytest
import torch

from wrinkle.errors import WrinkleError
from wrinkle.models import create_head


def test_rho_is_the_mlp_on_three_concatenated_vectors() -> None:
    torch.manual_seed(0)
    choice = {"name": "moving_window", "half_width": 3.0, "hidden": 4}
    head = create_head(choice, 6, torch.arange(20.0)).double()
    features = torch.randn(3, 6, dtype=torch.float64)
    first = torch.cat([head.of_face.weight, head.of_low.weight, head.of_high.weight], 1)
    found = head(features)
    assert found.shape == (3, 20)
    for face in range(3):
        for age in range(20):
            low, high = max(age - 3, 0), min(age + 3, 19)
            x = torch.cat([features[face], head.references[low], head.references[high]])
            hidden = (first @ x + head.of_face.bias).relu()
            hidden = (head.second.weight @ hidden + head.second.bias).relu()
            expected = (head.rho.weight @ hidden + head.rho.bias).tanh()
            assert found[face, age].item() == pytest.approx(expected.item(), abs=1e-12)


def test_exact_ranks_give_the_age() -> None:
    head = create_head("moving_window", 6, torch.arange(101.0))
    middles, half_widths = head.windows
    for age in (0.0, 3.25, 50.0, 71.5, 100.0):
        ranks = ((age - middles) / half_widths).clamp(-1, 1)[None]
        assert head.age(ranks).item() == pytest.approx(age, abs=1e-4)


def test_the_window_moves_to_the_estimate() -> None:
    """Windows far from the age say too little, those near it say more: the last one counts."""
    head = create_head("moving_window", 6, torch.arange(101.0))
    middles, half_widths = head.windows
    age = 60.0
    ranks = ((age - middles) / half_widths).clamp(-1, 1)
    ranks[(middles - age).abs() > 4] *= 0.5
    estimates = middles + ranks * half_widths
    weights = 1 - ranks.abs()
    start = (weights * estimates).sum() / weights.sum()
    assert (start - age).abs() > 2
    assert head.age(ranks[None]).item() == pytest.approx(age, abs=1e-4)


def test_windows_end_at_the_ages() -> None:
    head = create_head({"name": "moving_window", "half_width": 2.0}, 6, torch.arange(10.0, 16.0))
    middles, half_widths = head.windows
    assert (middles - half_widths).tolist() == [10, 10, 10, 11, 12, 13]
    assert (middles + half_widths).tolist() == [12, 13, 14, 15, 15, 15]
    # Never narrower than a gap between ages.
    coarse = create_head({"name": "moving_window", "half_width": 2.0}, 6, torch.tensor([0.0, 20]))
    assert coarse.windows[1].tolist() == [10, 10]


def test_impossible_windows_are_one_line() -> None:
    with pytest.raises(WrinkleError, match="half_width is 0"):
        create_head({"name": "moving_window", "half_width": 0.0}, 6, torch.arange(10.0))
