import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wrinkle.errors import WrinkleError
from wrinkle.losses import diversity_loss


def equation_7(maps: np.ndarray) -> float:
    """The sums of Eq. 7, one by one, mean over the batch."""
    total = 0.0
    for face in maps:
        n, h, w = face.shape
        for n1 in range(n):
            for n2 in range(n):
                for y in range(h):
                    for x in range(w):
                        if n1 != n2:
                            total += face[n1, y, x] * face[n2, y, x]
    return total / len(maps)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 9)
)
def test_literal_is_eq_7(b: int, n: int, h: int, w: int, seed: int) -> None:
    maps = np.random.default_rng(seed).normal(size=(b, n, h, w))
    assert diversity_loss(torch.from_numpy(maps)).item() == pytest.approx(equation_7(maps))
    positive = np.maximum(maps, 0)
    rectified = diversity_loss(torch.from_numpy(maps), "rectified").item()
    assert rectified == pytest.approx(equation_7(positive))
    excess = np.maximum(maps - maps.mean((2, 3), keepdims=True), 0)
    norm = np.sqrt((excess**2).sum((2, 3), keepdims=True))
    expected = equation_7(excess / np.maximum(norm, 1e-6))
    assert diversity_loss(torch.from_numpy(maps), "cosine").item() == pytest.approx(expected)


def test_forms_have_different_bounds() -> None:
    one, other = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    one[..., 0, 0] = other[..., 0, 0] = 1
    apart = torch.cat([one, one.flip(-1)], 1)
    same, opposite = torch.cat([one, other], 1), torch.cat([one, -other], 1)
    for scale in (1.0, 1000.0):
        assert diversity_loss(scale * opposite).item() == -2 * scale**2
        assert diversity_loss(scale * same, "rectified").item() == 2 * scale**2
        assert diversity_loss(scale * same + 7, "cosine").item() == pytest.approx(2)
        for form in ("rectified", "cosine"):
            assert diversity_loss(scale * apart, form).item() == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["literal", "rectified", "cosine"])
def test_flat_maps_have_finite_gradients(form: str) -> None:
    maps = torch.full((2, 3, 4, 4), 0.7, requires_grad=True)
    diversity_loss(maps, form).backward()  # type: ignore[arg-type]
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


def test_descending_the_cosine_separates_two_maps() -> None:
    torch.manual_seed(0)
    maps = torch.rand(1, 2, 6, 6, requires_grad=True)
    before = diversity_loss(maps, "cosine").item()
    for _ in range(50):
        maps.grad = None
        diversity_loss(maps, "cosine").backward()
        with torch.no_grad():
            maps -= 0.5 * maps.grad  # type: ignore[operator]
    assert diversity_loss(maps, "cosine").item() < before / 10


def test_a_single_map_has_zero_loss() -> None:
    assert diversity_loss(torch.rand(2, 1, 3, 3)).item() == pytest.approx(0, abs=1e-6)


def test_wrong_values_are_refused() -> None:
    with pytest.raises(WrinkleError, match=r"maps are \(B, n, H, W\)"):
        diversity_loss(torch.zeros(2, 3, 4))
    with pytest.raises(WrinkleError, match=r"'square'.*cosine"):
        diversity_loss(torch.zeros(2, 3, 4, 4), "square")  # type: ignore[arg-type]
