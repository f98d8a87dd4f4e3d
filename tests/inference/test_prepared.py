import copy

import pytest
import torch
from torch import Tensor, nn

from tests.models.test_every_model import KEY_POINTS, every_model, images, seeded
from wrinkle.inference import prepared as inference
from wrinkle.inference.prepared import PackedConv2d, multiplies_bf16, prepare_for_inference
from wrinkle.models import AgeModel, Prediction
from wrinkle.models.convolutions import ReLU6Of, SameConv2d


def lived(name: str) -> AgeModel:
    """A network whose batch norms have seen something."""
    model = seeded(name)
    torch.manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model


def predict(model: AgeModel, name: str = "dhaa") -> Prediction:
    with torch.inference_mode():
        return model.predict_all(images(name, 2), KEY_POINTS.expand(2, 5, 2))


def assert_close(found: Prediction, expected: Prediction) -> None:
    torch.testing.assert_close(found.distribution, expected.distribution, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found.age, expected.age, atol=1e-2, rtol=1e-3)


@pytest.fixture
def only_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "multiplies_bf16", lambda: False)


@every_model
@pytest.mark.usefixtures("only_float32")
def test_the_same_predictions(name: str) -> None:
    model = lived(name)
    expected = predict(model, name)
    ready = prepare_for_inference(copy.deepcopy(model))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in ready.modules())
    assert_close(predict(ready, name), expected)


@pytest.mark.usefixtures("only_float32")
def test_without_onednn_it_still_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lived("dhaa")
    expected = predict(model)
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    ready = prepare_for_inference(model)
    assert not any(isinstance(module, PackedConv2d) for module in ready.modules())
    assert_close(predict(ready), expected)


def test_bfloat16_is_for_the_parts_that_bear_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "multiplies_bf16", lambda: True)
    plain = lived("dhaa")
    model = prepare_for_inference(copy.deepcopy(plain))
    packed = {n: m.dtype for n, m in model.named_modules() if isinstance(m, PackedConv2d)}
    for name, dtype in packed.items():
        rounded = name.startswith(("layer2.", "sub_networks."))
        assert dtype == (torch.bfloat16 if rounded else torch.float32), name
    assert len(packed) == 134
    others = [
        p for m in model.modules() if not isinstance(m, PackedConv2d) for p in m.parameters(False)
    ]
    assert {p.dtype for p in others} == {model.ages.dtype} == {torch.float32}
    difference = predict(model).age - predict(plain).age
    assert 0 < difference.abs().max().item() < 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("kernel", "stride", "groups"),
    [(3, 1, 1), (3, 2, 1), (1, 1, 1), (1, 2, 1), (7, 2, 1), (3, 2, 8)],
)
def test_a_packed_convolution_is_the_convolution(
    dtype: torch.dtype, kernel: int, stride: int, groups: int
) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(8, 16, kernel, stride, kernel // 2, groups=groups).requires_grad_(False)
    packed = PackedConv2d(copy.deepcopy(plain), dtype)
    for shape in ((1, 8, 9, 9), (3, 8, 14, 10)):
        x = torch.randn(shape)
        # The factors are rounded, the sum is not.
        exact = copy.deepcopy(plain)
        exact.weight.copy_(plain.weight.to(dtype))
        rounded = exact(x.to(dtype).float())
        y = packed(x)
        assert y.dtype == dtype
        torch.testing.assert_close(y.float(), rounded, atol=1e-4, rtol=5e-3)


class Pair(nn.Module):
    """A convolution with SAME padding and its ReLU6."""

    def __init__(self, kernel: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv = SameConv2d(8, 8, kernel, stride, groups)
        self.relu = ReLU6Of("conv")

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.conv(x))
        return y


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("kernel", "stride", "groups"), [(3, 2, 8), (5, 2, 8), (3, 1, 8), (1, 1, 1), (3, 1, 1)]
)
def test_same_padding_and_relu6_are_computed_with_the_convolution(
    dtype: torch.dtype, kernel: int, stride: int, groups: int
) -> None:
    torch.manual_seed(0)
    plain = Pair(kernel, stride, groups).requires_grad_(False)
    nn.init.normal_(plain.conv.weight)
    packed = copy.deepcopy(plain)
    inference.pack_convolutions(packed, dtype)
    assert isinstance(packed.conv, PackedConv2d)
    assert isinstance(packed.relu, nn.Identity)
    plain.conv.weight.copy_(plain.conv.weight.to(dtype))
    for shape in ((2, 8, 10, 14), (1, 8, 9, 9), (1, 8, 9, 12), (1, 8, 6, 7)):
        x = 3 * torch.randn(shape)
        expected = plain(x.to(dtype).float())
        assert {0.0, 6.0} <= set(expected.flatten().tolist())
        torch.testing.assert_close(packed(x).float(), expected, atol=1e-4, rtol=5e-3)


def test_convolutions_that_cannot_be_packed_are_kept() -> None:
    """SAME padding with a stride over all channels, and a padding of repeated pixels."""
    kept = nn.Sequential(SameConv2d(8, 8, 3, 2), nn.Conv2d(8, 8, 3, padding_mode="replicate"))
    inference.pack_convolutions(kept, torch.bfloat16)
    assert not any(isinstance(m, PackedConv2d) for m in kept)


def test_bf16_is_for_processors_that_multiply_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    for able, expected in (({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert multiplies_bf16() is expected
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert not multiplies_bf16()
