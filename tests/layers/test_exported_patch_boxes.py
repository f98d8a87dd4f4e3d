"""The form of `patch_boxes` that is exported, against the one that OpenCV computes."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wrinkle.layers import patch_boxes
from wrinkle.layers.exported_patch_boxes import exported_patch_boxes, largest_area

Tensors = tuple[Tensor, ...]


@pytest.fixture(scope="module", autouse=True)
def plain_loop() -> Iterator[None]:
    """Outside of an export, torch would compile the loop."""

    def loop(test: Callable[..., Tensor], step: Callable[..., Tensors], state: Tensors) -> Tensors:
        while test(*state):
            state = step(*state)
        return state

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch._higher_order_ops.while_loop", loop)
        yield


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9999), st.integers(6, 32), st.integers(1, 12), st.integers(32, 128))
def test_boxes_are_those_of_opencv(seed: int, side: int, coarse: int, size: int) -> None:
    torch.manual_seed(seed)
    maps = torch.nn.functional.interpolate(torch.randn(2, 3, coarse, coarse), (side, side))
    found = exported_patch_boxes(maps.flatten(0, 1), size, size)
    expected = patch_boxes(maps, size).flatten(0, 1)
    # A pixel of the resized map, for a value within rounding of the threshold.
    assert (found - expected).abs().max() <= 2 / size + 1e-5
    assert ((found - expected).abs() < 1e-5).float().mean() > 0.8


@pytest.mark.parametrize("value", [0.0, -3.0, 1e30])
def test_a_flat_map_gives_the_complete_picture(value: float) -> None:
    assert exported_patch_boxes(torch.full((1, 8, 8), value), 64, 64)[0].tolist() == [-1, -1, 1, 1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 16), st.integers(1, 16), st.floats(0.2, 0.8))
def test_the_largest_area_is_that_of_contours(seed: int, h: int, w: int, share: float) -> None:
    random = np.random.default_rng(seed)
    highlighted = random.random((h, w)) < share
    highlighted[0, 0] = True
    values = random.random((h, w)).astype(np.float32)
    contours, _ = cv2.findContours(
        highlighted.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    areas = [cv2.drawContours(np.zeros((h, w), np.uint8), [c], 0, 1, cv2.FILLED) for c in contours]
    expected = max(areas, key=lambda area: float((values * area).sum()))
    found = largest_area(torch.from_numpy(values)[None], torch.from_numpy(highlighted)[None])
    np.testing.assert_array_equal(found[0].numpy(), expected)
