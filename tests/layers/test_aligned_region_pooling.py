"""ARP against a slow float64 version: Eq. 1 by NumPy's least squares, sampling pixel by pixel."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.layers import AlignedRegionPooling

FACE = torch.tensor([[-0.3, -0.3], [0.3, -0.3], [0.0, 0.05], [-0.25, 0.3], [0.25, 0.3]])
"""Target points: eyes, nose, mouth corners."""


def least_squares(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """M_A of Eq. 1, (2, 3) float64: minimises Σ‖q_j − M_A (p_j, 1)‖²."""
    return np.linalg.lstsq(np.c_[p, np.ones(len(p))], q, rcond=None)[0].T


def least_squares_similarity(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The same over maps (a, −b, c; b, a, d)."""
    rows = [[[x, -y, 1, 0], [y, x, 0, 1]] for x, y in p]
    a, b, c, d = np.linalg.lstsq(np.concatenate(rows), q.ravel(), rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d]])


def pixel(features: np.ndarray, x: float, y: float) -> np.ndarray:
    """Bilinear value of (C, H, W) at (x, y) in [−1, 1], the border repeated."""
    _, height, width = features.shape
    column = min(max((x + 1) * width / 2 - 0.5, 0), width - 1)
    row = min(max((y + 1) * height / 2 - 0.5, 0), height - 1)
    left, top = min(int(column), max(width - 2, 0)), min(int(row), max(height - 2, 0))
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    a, b = column - left, row - top
    upper = (1 - a) * features[:, top, left] + a * features[:, top, right]
    lower = (1 - a) * features[:, bottom, left] + a * features[:, bottom, right]
    return (1 - b) * upper + b * lower


def reference(
    features: Tensor, key_points: Tensor, target: Tensor, size: tuple[int, int], fit: str
) -> np.ndarray:
    solve = least_squares if fit == "affine" else least_squares_similarity
    height, width = size
    result = np.zeros((len(features), features.shape[1], height, width))
    for b, (picture, p) in enumerate(zip(features.double(), key_points.double(), strict=True)):
        whole = np.vstack([solve(p.numpy(), target.double().numpy()), [0, 0, 1]])
        inverse = np.linalg.inv(whole)
        for row in range(height):
            for column in range(width):
                place = (2 * column + 1) / width - 1, (2 * row + 1) / height - 1
                x, y, _ = inverse @ [*place, 1]
                result[b, :, row, column] = pixel(picture.numpy(), x, y)
    return result


def turned(
    points: Tensor, degrees: float, scale: float = 1.0, shift: tuple[float, float] = (0, 0)
) -> Tensor:
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return points @ (scale * turn.to(points.dtype)).T + torch.tensor(shift, dtype=points.dtype)


def disturbed(points: Tensor, kind: str, random: np.random.Generator) -> Tensor:
    points = turned(
        points,
        random.uniform(-45, 45),
        random.uniform(0.7, 1.4),
        tuple(random.uniform(-0.2, 0.2, 2)),
    )
    if kind == "similarity":
        return points
    if kind == "affine":
        shear = np.eye(2) + random.uniform(-0.3, 0.3, (2, 2))
        return points @ torch.tensor(shear, dtype=points.dtype).T
    depth = 1 + points @ torch.tensor(random.uniform(-0.3, 0.3, 2), dtype=points.dtype)
    return points / depth[:, None]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["similarity", "affine", "perspective"]),
    fit=st.sampled_from(["affine", "similarity"]),
    shape=st.sampled_from([((9, 9), 7), ((8, 13), (5, 6)), ((16, 16), 14)]),
)
def test_it_equals_the_reference_version(
    seed: int, kind: str, fit: str, shape: tuple[tuple[int, int], int | tuple[int, int]]
) -> None:
    random = np.random.default_rng(seed)
    features = torch.tensor(random.standard_normal((2, 3, *shape[0])), dtype=torch.float32)
    points = torch.stack([disturbed(FACE, kind, random) for _ in range(2)])
    pool = AlignedRegionPooling(FACE, shape[1], fit)
    expected = reference(features, points, FACE, pool.output_size, fit)
    np.testing.assert_allclose(pool(features, points).numpy(), expected, atol=2e-5)
    exact = AlignedRegionPooling(FACE.double(), shape[1], fit)(features.double(), points.double())
    np.testing.assert_allclose(exact.numpy(), expected, atol=1e-6)
    assert pool.fallbacks.tolist() == [0, 0]


def smooth(x: Tensor, y: Tensor) -> Tensor:
    """A picture as a function of the place, so that it can be turned without resampling."""
    return torch.stack([torch.sin(2 * x + y), torch.cos(1.5 * y - x), x * y])


@settings(max_examples=40, deadline=None)
@given(
    degrees=st.floats(-45, 45),
    scale=st.floats(0.7, 1.4),
    x=st.floats(-0.15, 0.15),
    y=st.floats(-0.15, 0.15),
)
def test_a_moved_face_gives_the_same_region(
    degrees: float, scale: float, x: float, y: float
) -> None:
    """Turned by up to 45°, scaled by 0.7–1.4 and shifted, within the error of interpolation."""
    target = FACE * 2.2  # a region well inside the picture, wherever the face goes
    pool = AlignedRegionPooling(target, 28)
    centres = (2 * torch.arange(64) + 1) / 64 - 1
    place = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1)
    still = smooth(*place.unbind(-1))
    # The value at a place of the moved picture is that of where the place came from.
    back = (place - torch.tensor([x, y])) / scale
    moved = smooth(*turned(back, -degrees).unbind(-1))
    expected = pool(still[None], FACE[None])
    region = pool(moved[None], turned(FACE, degrees, scale, (x, y))[None])
    torch.testing.assert_close(region, expected, atol=4e-3, rtol=0)
    unaligned = pool(moved[None], FACE[None])
    if abs(degrees) > 10:
        assert (unaligned - expected).abs().max() > 0.05


def test_gradients_are_right() -> None:
    torch.manual_seed(0)
    for fit in ("affine", "similarity"):
        pool = AlignedRegionPooling(FACE.double(), 3, fit)
        features = torch.randn(2, 2, 6, 5, dtype=torch.float64, requires_grad=True)
        points = turned(FACE.double(), 17, 0.9, (0.013, -0.02)).repeat(2, 1, 1)
        points = (points + 0.01 * torch.randn_like(points)).requires_grad_()
        assert torch.autograd.gradcheck(pool, (features, points))


NAN, INF = float("nan"), float("inf")
LINE = torch.tensor([[-0.4, -0.2], [-0.2, -0.1], [0.0, 0.0], [0.2, 0.1], [0.4, 0.2]])


@pytest.mark.parametrize("fit", ["affine", "similarity"])
@pytest.mark.parametrize(
    ("points", "counted"),
    [
        (LINE, [1, 0]),
        (LINE + 1e-6 * torch.tensor([[1.0, -1]] * 4 + [[-1.0, 2]]), [1, 0]),
        (torch.full((5, 2), 0.3), [0, 1]),
        (FACE * 1e-7 + 0.5, [0, 1]),
        (FACE * torch.tensor([1.0, 0.0]), [1, 0]),
        (FACE.clone().index_fill_(0, torch.tensor([2]), NAN), [0, 1]),
        (FACE.clone().index_fill_(0, torch.tensor([0]), INF), [0, 1]),
        (FACE + 1e4, [0, 1]),
        (FACE * 1e30, [0, 1]),
        (FACE.clone().index_fill_(0, torch.tensor([4]), -5.0), [0, 1]),
    ],
)
def test_degenerate_points_are_counted_and_never_nan(
    fit: str, points: Tensor, counted: list[int]
) -> None:
    pool = AlignedRegionPooling(FACE, 5, fit)
    features = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    features.requires_grad_()
    both = torch.stack([points, FACE]).requires_grad_()
    region = pool(features, both)
    region.sum().backward()
    assert region.isfinite().all()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert both.grad is not None
    assert both.grad.isfinite().all()
    # A similarity is what the other fit gives anyway, so only the identity counts there.
    assert pool.fallbacks.tolist() == (counted if fit == "affine" else [0, counted[1]])
    alone = AlignedRegionPooling(FACE, 5, fit)(features[1:], FACE[None])
    torch.testing.assert_close(region[1:], alone)


def test_points_on_a_line_get_the_best_similarity() -> None:
    points = turned(LINE, 20)
    pool = AlignedRegionPooling(FACE, 5)
    inverse = pool.inverse_maps(points[None])[0].double().numpy()
    whole = np.vstack([least_squares_similarity(points.numpy(), FACE.numpy()), [0, 0, 1]])
    np.testing.assert_allclose(inverse, np.linalg.inv(whole)[:2], rtol=1e-4)


def test_impossible_points_show_the_complete_picture() -> None:
    pool = AlignedRegionPooling(FACE, 4)
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    torch.testing.assert_close(pool(features, torch.full((1, 5, 2), NAN)), features)


def test_counts_add_up_over_calls() -> None:
    pool = AlignedRegionPooling(FACE, 4)
    for _ in range(3):
        with torch.inference_mode():
            pool(torch.zeros(2, 1, 4, 4), torch.stack([LINE, FACE]))
    pool(torch.zeros(1, 1, 4, 4), FACE[None])
    assert pool.fallbacks.tolist() == [3, 0]
    assert list(pool.state_dict()) == []


def test_bf16_and_autocast_keep_the_geometry_exact() -> None:
    features = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    points = turned(FACE, 31)[None]
    pool = AlignedRegionPooling(FACE, 14)
    expected = pool.inverse_maps(points)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(pool.inverse_maps(points), expected, rtol=0, atol=0)
    half = pool(features.bfloat16(), points)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), pool(features, points), rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("features", "points", "line"),
    [
        ((1, 1, 4, 4), (1, 4, 2), r"key points are \(B, 5, 2\) here, not \(1, 4, 2\)"),
        ((1, 1, 4, 4), (5, 2), r"key points are \(B, 5, 2\) here, not \(5, 2\)"),
        ((2, 1, 4, 4), (1, 5, 2), r"features are \(B, C, H, W\) for 1 face, not \(2, 1, 4, 4\)"),
        ((1, 4, 4), (1, 5, 2), r"features are \(B, C, H, W\) for 1 face, not \(1, 4, 4\)"),
    ],
)
def test_wrong_shapes_are_one_line(
    features: tuple[int, ...], points: tuple[int, ...], line: str
) -> None:
    with pytest.raises(WrinkleError, match=line):
        AlignedRegionPooling(FACE, 3)(torch.zeros(features), torch.zeros(points))


@pytest.mark.parametrize(
    ("target", "size", "fit", "line"),
    [
        (FACE[:2], 3, "affine", r"\(m, 2\), m at least 3 for fit affine, not \(2, 2\)"),
        (FACE[:1], 3, "similarity", "m at least 2 for fit similarity"),
        (torch.zeros(5, 3), 3, "affine", r"not \(5, 3\)"),
        (LINE, 3, "affine", "not lie on one line"),
        (FACE * NAN, 3, "affine", "must be finite"),
        (FACE * 0, 3, "similarity", "not lie on one line"),
        (FACE, 0, "affine", "at least 1 pixel"),
        (FACE, (3,), "affine", "give an integer"),
        (FACE, 3.5, "affine", "give an integer"),
        (FACE, 3, "projective", "fit is 'projective'; choices: affine, similarity"),
    ],
)
def test_wrong_regions_are_one_line(target: Tensor, size: int, fit: str, line: str) -> None:
    with pytest.raises(WrinkleError, match=line):
        AlignedRegionPooling(target, size, fit)  # type: ignore[arg-type]
