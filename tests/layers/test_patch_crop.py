import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from wrinkle.errors import WrinkleError
from wrinkle.layers import crop_patches, patch_boxes, patch_maps

WHOLE = [-1.0, -1.0, 1.0, 1.0]


def spot(x: int, y: int, side: int = 16, size: int = 6) -> torch.Tensor:
    """(1, 1, side, side): 1 in a square whose corner is at (x, y), 0 elsewhere."""
    attention = torch.zeros(1, 1, side, side)
    attention[..., y : y + size, x : x + size] = 1
    return attention


def test_box_surrounds_the_highlighted_area() -> None:
    # Positions 4–9 of 16 are [−0.5, 0.25] in [−1, 1], up to half a position.
    box = patch_boxes(spot(4, 8), 128)[0, 0]
    torch.testing.assert_close(box, torch.tensor([-0.5, 0.0, 0.25, 0.75]), atol=0.0625, rtol=0)


def test_box_depends_on_shape_not_on_range_or_sign() -> None:
    attention = spot(3, 5) + 0.1 * torch.rand(1, 1, 16, 16)
    expected = patch_boxes(attention, 64)
    for changed in (attention * 1e-3 - 5, attention * 1e6, attention - 100, attention.double()):
        torch.testing.assert_close(patch_boxes(changed, 64), expected, atol=0.04, rtol=0)


def test_of_two_areas_the_one_with_the_larger_sum_counts() -> None:
    both = spot(0, 0, size=2) + 0.9 * spot(8, 8, size=6)
    torch.testing.assert_close(patch_boxes(both, 128), patch_boxes(spot(8, 8, size=6), 128))


@pytest.mark.parametrize(("x", "y"), [(0, 0), (15, 0), (0, 15), (15, 15), (7, 15)])
def test_a_box_at_the_border_stays_inside_with_the_minimum_side(x: int, y: int) -> None:
    box = patch_boxes(spot(x, y, size=1), 96)[0, 0]
    assert ((box >= -1) & (box <= 1)).all()
    torch.testing.assert_close(box[2:] - box[:2], torch.tensor([2 / 3, 2 / 3]), atol=1e-6, rtol=0)
    assert (box == -1).any() or (box == 1).any()


@pytest.mark.parametrize("value", [0.0, -3.0, 1e30, float("inf"), float("nan")])
def test_a_flat_map_gives_the_complete_picture(value: float) -> None:
    assert patch_boxes(torch.full((1, 1, 8, 8), value), 64)[0, 0].tolist() == WHOLE


def test_a_map_that_is_not_finite_gives_the_complete_picture_and_changes_no_other() -> None:
    maps = spot(4, 8).repeat(1, 2, 1, 1)
    maps[0, 0, 0, 0] = float("nan")
    boxes = patch_boxes(maps, 128)[0]
    assert boxes[0].tolist() == WHOLE
    torch.testing.assert_close(boxes[1], patch_boxes(spot(4, 8), 128)[0, 0])


@settings(max_examples=80, deadline=None)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.floats(-(2.0**100), 2.0**100, width=32),
    ),
    st.integers(7, 70),
    st.integers(7, 70),
)
def test_every_map_gives_a_valid_patch(attention: np.ndarray, height: int, width: int) -> None:
    box = patch_boxes(torch.from_numpy(attention)[None, None], (height, width))[0, 0]
    assert ((box >= -1) & (box <= 1)).all()
    assert (box[2:] - box[:2] >= 2 / 3 - 1e-5).all()


def test_permuting_maps_permutes_patches() -> None:
    torch.manual_seed(0)
    maps, order = torch.randn(3, 5, 16, 16), torch.randperm(5)
    images = torch.randn(3, 3, 64, 64)
    boxes = patch_boxes(maps, 64)
    torch.testing.assert_close(patch_boxes(maps[:, order], 64), boxes[:, order])
    patches = crop_patches(images, patch_maps(boxes), 16)
    permuted = crop_patches(images, patch_maps(boxes[:, order]), 16)
    torch.testing.assert_close(permuted, patches[:, order])


def test_a_crop_has_the_pixels_in_the_box() -> None:
    images = torch.arange(8 * 8.0).reshape(1, 1, 8, 8).expand(1, 3, 8, 8)
    box = torch.tensor([[[-0.5, 0.0, 0.5, 1.0]]])  # columns 2–5, rows 4–7
    patch = crop_patches(images, patch_maps(box), 4)
    assert patch.shape == (1, 1, 3, 4, 4)
    torch.testing.assert_close(patch[0, 0, 0], images[0, 0, 4:8, 2:6])


def test_the_complete_picture_is_a_resize() -> None:
    images = torch.rand(2, 3, 8, 8)
    patches = crop_patches(images, patch_maps(torch.tensor([[WHOLE], [WHOLE]])), 8)
    torch.testing.assert_close(patches[:, 0], images)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(WrinkleError, match=r"maps are \(B, n, H, W\)"):
        patch_boxes(torch.zeros(2, 4, 4), 8)
    with pytest.raises(WrinkleError, match="at least 1 pixel"):
        patch_boxes(torch.zeros(1, 2, 4, 4), 0)
    with pytest.raises(WrinkleError, match=r"2 pictures take maps \(2, n, 2, 3\)"):
        crop_patches(torch.zeros(2, 3, 8, 8), torch.zeros(2, 5, 4), 8)
