import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wrinkle.datasets.augment import (
    Augment,
    Photometric,
    _detail,
    _local_contrast,
    black_outside,
    draw_motion,
    generator,
    mirror_matrix,
    motion_matrix,
    vary_pixels,
)
from wrinkle.faces.align import warp


def homogeneous(*rows: list[float]) -> np.ndarray:
    return np.array([*rows, [0, 0, 1]], np.float64)


@given(
    st.integers(16, 512),
    st.floats(-180, 180),
    st.floats(0.5, 2),
    st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
    st.booleans(),
)
def test_a_motion_is_its_elementary_matrices(
    size: int, degrees: float, scale: float, shift: tuple[float, float], mirror: bool
) -> None:
    half, (dx, dy), t = size / 2, shift, np.deg2rad(degrees)
    parts = [
        homogeneous([1, 0, half + dx * size], [0, 1, half + dy * size]),
        homogeneous([scale, 0, 0], [0, scale, 0]),
        homogeneous([np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0]),
        homogeneous([1, 0, -half], [0, 1, -half]),
    ]
    if mirror:
        parts.insert(0, homogeneous([-1, 0, size], [0, 1, 0]))
    expected = np.linalg.multi_dot(parts)[:2]
    actual = motion_matrix(size, degrees, scale, shift, mirror)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-9)


def test_mirroring_twice_changes_nothing_and_once_flips_the_picture() -> None:
    picture = torch.randint(0, 256, (1, 3, 20, 20), dtype=torch.uint8)
    matrix = torch.from_numpy(mirror_matrix(20))[None]
    assert torch.allclose(warp(picture, matrix, 20), picture.flip(-1).float(), atol=1e-3)


def test_motions_stay_within_the_ranges_and_reach_them() -> None:
    augment = Augment(mirror=0.25, rotation=10, scale=0.2, translation=0.05)
    mirrors, turns, scales = [], [], []
    for row in range(2000):
        motion, mirrored = draw_motion(generator(0, 0, row, 0), augment, 100)
        mirrors.append(mirrored)
        x, y = motion[:, 0] * (-1 if mirrored else 1, 1)
        turns.append(np.rad2deg(np.arctan2(y, x)))
        scales.append(np.hypot(x, y))
        middle = motion @ (50, 50, 1)
        assert np.abs(middle - 50).max() <= 5
    assert np.mean(mirrors) == pytest.approx(0.25, abs=0.03)
    assert -10 <= min(turns) < -9.5
    assert 9.5 < max(turns) <= 10
    assert 1 / 1.2 <= min(scales) < 0.85
    assert 1.18 < max(scales) <= 1.2


def test_numbers_differ_by_every_part_of_the_place() -> None:
    place = (5, 3, 17, 0)
    first = generator(*place).random(4)
    assert np.array_equal(first, generator(*place).random(4))
    others = [(6, 3, 17, 0), (5, 4, 17, 0), (5, 3, 18, 0), (5, 3, 17, 1)]
    assert not any(np.isin(generator(*other).random(1000), first).any() for other in others)


CROP = cv2.resize(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8), (64, 64))


@pytest.mark.parametrize("field", list(Photometric.model_fields))
def test_each_change_alone_changes_a_copy(field: str) -> None:
    strength = Photometric.model_validate({field: 0.9})
    before = CROP.copy()
    results = [vary_pixels(generator(0, 0, row, 0), strength, CROP) for row in range(20)]
    assert np.array_equal(before, CROP)
    assert all(r.shape == CROP.shape and r.dtype == np.uint8 for r in results)
    changed = [not np.array_equal(r, CROP) for r in results]
    assert np.mean(changed) > 0.6


def test_nothing_asked_nothing_changed() -> None:
    assert vary_pixels(generator(0, 0, 0, 0), Photometric(), CROP) is CROP


def test_greyscale_is_grey_and_brightness_bounded() -> None:
    grey = vary_pixels(generator(0, 0, 0, 0), Photometric(greyscale=1), CROP)
    assert np.ptp(grey.astype(int), axis=2).max() == 0
    flat = np.full((8, 8, 3), 100, np.uint8)
    values = [
        int(vary_pixels(generator(0, 0, row, 0), Photometric(brightness=0.2), flat)[0, 0, 0])
        for row in range(300)
    ]
    assert 49 <= min(values) < 60
    assert 140 < max(values) <= 151


def _picture(side: int = 40) -> np.ndarray:
    """A bright and a dark half, with some noise on both."""
    picture = np.full((side, side, 3), 60, np.float64)
    picture[:, side // 2 :] = 200
    noise = np.random.default_rng(0).normal(0, 4, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def _slow_detail(crop: np.ndarray, gain: float, radius: float, edge: float) -> np.ndarray:
    """The self-guided filter in float64, window by window; borders are mirrored as by OpenCV."""
    half = max(1, round(radius * crop.shape[0]))
    pad = ((half, half), (half, half), (0, 0))

    def mean(x: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(x, pad, "reflect"), (2 * half + 1, 2 * half + 1), (0, 1)
        )
        return windows.mean((-1, -2))

    x = crop.astype(np.float64)
    variance = mean(x * x) - mean(x) ** 2
    keep = mean(variance / (variance + edge**2))
    base = mean(x) + keep * (x - mean(x))
    return np.clip(base + gain * (x - base), 0, 255)


@pytest.mark.parametrize("gain", [0.0, 0.5, 1.8])
@pytest.mark.parametrize("radius", [0.01, 0.03, 0.1])
def test_detail_is_that_of_the_guided_filter(gain: float, radius: float) -> None:
    crop = _picture()
    found = _detail(crop, gain, radius)
    assert np.abs(found - _slow_detail(crop, gain, radius, 12.0)).max() < 1.01  # rounded down


def test_detail_smooths_skin_and_keeps_edges() -> None:
    crop = _picture()
    smooth, sharp = _detail(crop, 0.0, 0.1), _detail(crop, 1.8, 0.1)
    flat = (slice(4, -4), slice(4, 12))
    assert smooth[flat].std() < 0.7 * crop[flat].std() < 0.7 * sharp[flat].std()
    assert int(smooth[20, 24, 0]) - int(smooth[20, 15, 0]) > 120
    np.testing.assert_array_equal(_detail(crop, 1.0, 0.02), crop)


def test_local_contrast_evens_the_light_and_stays_in_bounds() -> None:
    ramp = np.linspace(20, 235, 64)[None, :, None] + np.zeros((64, 64, 3))
    noise = np.random.default_rng(1).normal(0, 6, ramp.shape)
    crop = np.clip(ramp + noise, 0, 255).astype(np.uint8)
    found = _local_contrast(crop, 4.0)
    assert (found.shape, found.dtype) == (crop.shape, np.uint8)
    fields = found[..., 0].reshape(4, 16, 4, 16).mean((1, 3))
    before = crop[..., 0].reshape(4, 16, 4, 16).mean((1, 3))
    assert np.ptp(fields) < np.ptp(before)
    grey = np.full((32, 32, 3), 128, np.uint8)
    assert np.ptp(_local_contrast(grey, 2.0)) == 0


@pytest.mark.parametrize("field", ["detail", "local_contrast"])
def test_new_changes_are_reproducible_and_off_by_default(field: str) -> None:
    crop = _picture(128)
    plain = vary_pixels(generator(0, 0, 1, 1), Photometric(), crop)
    np.testing.assert_array_equal(plain, crop)
    always = Photometric(**{field: 1.0})
    first, again, other = (vary_pixels(generator(0, 0, row, 1), always, crop) for row in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first != crop).any()


def test_zero_padding_blackens_what_the_view_does_not_show() -> None:
    """The paper's padding: a view of the crop's middle, moved by two of its pixels."""
    crop = np.full((8, 8, 3), 200, np.uint8)
    view = np.array([[1.0, 0.0, -2.0], [0.0, 1.0, -2.0]])  # shows the pixels 2 to 5
    found = black_outside(crop, view, 4)
    expected = np.zeros((8, 8, 3), np.uint8)
    expected[2:6, 2:6] = 200
    np.testing.assert_array_equal(found, expected)
    assert (crop == 200).all()
    turned = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 4.0]])  # x = y, y = 4 − x
    np.testing.assert_array_equal(
        black_outside(crop, turned, 4)[..., 0] > 0, np.pad(np.ones((4, 4)), ((0, 4), (0, 4))) > 0
    )
