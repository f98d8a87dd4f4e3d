import numpy as np
import pytest
import torch

from tests.layers.test_aligned_region_pooling import pixel
from wrinkle.errors import WrinkleError
from wrinkle.layers import RegionOfInterestPooling


def test_it_equals_the_reference_version() -> None:
    torch.manual_seed(0)
    features, centre = torch.randn(2, 3, 9, 12), torch.tensor([[0.1, -0.3], [0.9, 0.9]])
    pool = RegionOfInterestPooling(0.7, (4, 5))
    region = pool(features, centre)
    assert region.shape == (2, 3, 4, 5)
    for b in range(2):
        for row in range(4):
            for column in range(5):
                x = float(centre[b, 0]) + 0.35 * ((2 * column + 1) / 5 - 1)
                y = float(centre[b, 1]) + 0.35 * ((2 * row + 1) / 4 - 1)
                expected = pixel(features[b].double().numpy(), x, y)
                np.testing.assert_allclose(region[b, :, row, column].numpy(), expected, atol=1e-5)


def test_gradients_are_right() -> None:
    features = torch.randn(1, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    centre = torch.tensor([[0.113, -0.207]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(RegionOfInterestPooling(0.9, 3), (features, centre))


def test_a_centre_that_is_not_finite_becomes_the_middle() -> None:
    pool, features = RegionOfInterestPooling(1.0, 3), torch.randn(1, 1, 6, 6)
    lost = pool(features, torch.tensor([[float("nan"), 0.5]]))
    torch.testing.assert_close(lost, pool(features, torch.zeros(1, 2)))


@pytest.mark.parametrize("side", [0, -1.0, float("nan"), float("inf")])
def test_wrong_sides_are_one_line(side: float) -> None:
    with pytest.raises(WrinkleError, match="must be above 0"):
        RegionOfInterestPooling(side, 3)


def test_wrong_shapes_are_one_line() -> None:
    pool = RegionOfInterestPooling(1.0, 3)
    with pytest.raises(WrinkleError, match=r"centres are \(B, 2\), not \(1, 5, 2\)"):
        pool(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5, 2))
    with pytest.raises(WrinkleError, match="for 2 faces"):
        pool(torch.zeros(1, 1, 4, 4), torch.zeros(2, 2))
