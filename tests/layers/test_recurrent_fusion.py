"""Both fusions against their equations in float64, step by step."""

import numpy as np
import pytest
import torch

from wrinkle.errors import WrinkleError
from wrinkle.layers import FullyConnectedFusion, RecurrentFusion


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("regions", [1, 3, 5])
def test_recurrent_fusion_is_eq_2_and_3(regions: int) -> None:
    torch.manual_seed(0)
    fusion = RecurrentFusion(4, 6)
    z = torch.randn(2, regions, 4)
    weights = {n: p.detach().double().numpy() for n, p in fusion.lstm.named_parameters()}
    expected = np.zeros((2, 6))
    h, c = np.zeros((2, 6)), np.zeros((2, 6))
    for k in range(regions):
        gates = z[:, k].double().numpy() @ weights["weight_ih_l0"].T + weights["bias_ih_l0"]
        gates += h @ weights["weight_hh_l0"].T + weights["bias_hh_l0"]
        i, f, g, o = np.split(gates, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        expected += h
    np.testing.assert_allclose(fusion(z).detach().numpy(), expected, atol=1e-6)


def test_the_order_of_regions_matters() -> None:
    torch.manual_seed(0)
    z = torch.randn(2, 3, 4)
    for fusion in (RecurrentFusion(4, 6), FullyConnectedFusion(4, 6, 3)):
        assert not torch.allclose(fusion(z), fusion(z.flip(1)))
        assert fusion(z).shape == (2, 6)


def test_fully_connected_fusion_by_hand() -> None:
    fusion = FullyConnectedFusion(1, 2, 2)
    with torch.no_grad():
        fusion.fc.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, -1.0]]))
        fusion.fc.bias.copy_(torch.tensor([0.5, 0.0]))
    # 1·3 + 2·4 + 0.5 and −4
    assert fusion(torch.tensor([[[3.0], [4.0]]])).tolist() == [[11.5, -4.0]]


def test_gradients_are_right() -> None:
    z = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    for fusion in (RecurrentFusion(4, 5), FullyConnectedFusion(4, 5, 3)):
        assert torch.autograd.gradcheck(fusion.double(), (z,))


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 5), (2, 0, 4), (1, 2, 3, 4)])
def test_wrong_shapes_are_one_line(shape: tuple[int, ...]) -> None:
    for fusion in (RecurrentFusion(4, 6), FullyConnectedFusion(4, 6, 3)):
        with pytest.raises(WrinkleError, match=r"fusion takes \(B, K, 4\), not \("):
            fusion(torch.zeros(shape))


def test_another_number_of_regions_is_one_line() -> None:
    with pytest.raises(WrinkleError, match="3 regions, not 2"):
        FullyConnectedFusion(4, 6, 3)(torch.zeros(1, 2, 4))
