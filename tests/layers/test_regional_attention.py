"""Attention within regions, against its equation position by position in float64."""

import math

import numpy as np
import pytest
import torch

from wrinkle.errors import WrinkleError
from wrinkle.layers import RegionalAttention, attention_boxes

SIZES = [(1, 1), (4, 4), (3, 7)]


def reference(layer: RegionalAttention, maps: np.ndarray) -> np.ndarray:
    """softmax((HA − mean) / deviation − r² / 2), float64, with loops."""
    b, n, h, w = maps.shape
    middles = layer.middles.detach().double().numpy().clip(-0.5, 0.5)
    radii = np.exp(layer.log_radii.detach().double().numpy()).clip(1 / 6, 1 / 2)
    result = np.zeros(maps.shape)
    for i in range(b):
        for k in range(n):
            one = maps[i, k]
            deviation = max(one.std(), 1e-6)
            for y in range(h):
                for x in range(w):
                    dx = ((2 * x + 1) / w - 1) / radii[k, 0]
                    dy = ((2 * y + 1) / h - 1 - middles[k]) / radii[k, 1]
                    logit = (one[y, x] - one.mean()) / deviation - (dx**2 + dy**2) / 2
                    result[i, k, y, x] = math.exp(logit)
            result[i, k] /= result[i, k].sum()
    return result


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("heads", [1, 3])
def test_it_is_its_equation(size: tuple[int, int], heads: int) -> None:
    torch.manual_seed(0)
    layer, maps = RegionalAttention(heads), 3 * torch.randn(2, heads, *size) + 5
    with torch.no_grad():
        layer.middles.normal_()  # beyond the bounds too
        layer.log_radii.normal_()
        found = layer(maps)
    expected = reference(layer, maps.double().numpy())
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-4, atol=1e-7)
    assert (found > 0).all()
    torch.testing.assert_close(found.sum((2, 3)), torch.ones(2, heads))


def test_a_maps_scale_and_offset_change_nothing() -> None:
    """So that no layer after it can undo a scale; its sign has a meaning."""
    torch.manual_seed(0)
    layer, maps = RegionalAttention(2), torch.randn(1, 2, 6, 6)
    torch.testing.assert_close(layer(7 * maps - 3), layer(maps))
    assert not torch.allclose(layer(-maps), layer(maps), atol=1e-3)


def test_a_flat_map_is_the_region_itself() -> None:
    layer = RegionalAttention(3)
    maps = layer(torch.full((1, 3, 33, 33), -2.0))[0]
    tops = [divmod(int(each.argmax()), 33) for each in maps]
    assert tops == [(8, 16), (16, 16), (24, 16)]  # y = −0.5, 0 and 0.5; x = 0
    torch.testing.assert_close(maps, maps.flip(-1))


def test_attention_stays_near_the_region() -> None:
    """Even where a map is highest in a corner."""
    layer, maps = RegionalAttention(1), torch.zeros(1, 1, 16, 16)
    maps[..., 0, 0] = 100.0
    box = attention_boxes(layer(maps))[0, 0]
    assert ((box[:2] + box[2:]) / 2).abs().max() < 0.35


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    layer = RegionalAttention(2).double()
    maps = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)

    def attend(maps: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return layer(maps)  # type: ignore[no-any-return]

    with torch.no_grad():
        layer.middles.copy_(torch.tensor([-0.3, 0.2]))
    assert torch.autograd.gradcheck(attend, (maps, *layer.parameters()))


def test_boxes_by_hand() -> None:
    maps = torch.zeros(1, 3, 8, 8)
    maps[0, 0, 2, 5] = 1.0  # one position: the smallest box around it
    maps[0, 1, 0, 0] = 1.0  # in the corner: moved inside
    maps[0, 2, 3:5, 1] = maps[0, 2, 3:5, 6] = 0.25  # left and right: a wide box between them
    boxes = attention_boxes(maps)[0]
    third = 1 / 3
    x, y = (2 * 5 + 1) / 8 - 1, (2 * 2 + 1) / 8 - 1
    torch.testing.assert_close(boxes[0], torch.tensor([x - third, y - third, x + third, y + third]))
    torch.testing.assert_close(boxes[1], torch.tensor([-1, -1, 2 * third - 1, 2 * third - 1]))
    torch.testing.assert_close(boxes[2], torch.tensor([-0.5, -third, 0.5, third]))


def test_a_box_is_so_many_deviations_wide() -> None:
    maps = torch.zeros(1, 1, 1, 10)
    maps[..., 3:7] = 0.25
    at = np.array([-0.3, -0.1, 0.1, 0.3])
    half = max(1.5 * at.std(), 1 / 3)
    torch.testing.assert_close(
        attention_boxes(maps)[0, 0, [0, 2]], torch.tensor([-half, half], dtype=torch.float32)
    )


def test_mirrored_maps_have_mirrored_boxes() -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 5, 6).flatten(2).softmax(-1).view(2, 3, 5, 6)
    x1, y1, x2, y2 = attention_boxes(maps).unbind(-1)
    torch.testing.assert_close(attention_boxes(maps.flip(-1)), torch.stack([-x2, y1, -x1, y2], -1))


def test_other_shapes_are_refused() -> None:
    with pytest.raises(WrinkleError, match="heads is 0"):
        RegionalAttention(0)
    with pytest.raises(WrinkleError, match=r"maps \(B, 2, H, W\)"):
        RegionalAttention(2)(torch.zeros(1, 3, 4, 4))
