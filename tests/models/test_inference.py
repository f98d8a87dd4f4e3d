import copy

import pytest
import torch
from torch import nn

from tests.models.test_every_model import KEY_POINTS, every_model, images, seeded
from wrinkle.models.inference import multiplies_bf16, prepare_for_inference


def lived(name: str) -> nn.Module:
    """A network whose batch norms have seen something."""
    model = seeded(name)
    torch.manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model


@every_model
@torch.inference_mode()
def test_the_same_predictions(name: str) -> None:
    model = lived(name)
    points = KEY_POINTS.expand(2, 5, 2)
    expected = model.predict_all(images(2), points)
    ready = prepare_for_inference(copy.deepcopy(model))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in ready.modules())
    torch.testing.assert_close(ready.predict_all(images(2), points), expected, atol=1e-4, rtol=1e-3)


@torch.inference_mode()
def test_bf16_keeps_heads_and_ages_in_float32() -> None:
    model = prepare_for_inference(copy.deepcopy(lived("dhaa")), bf16=True)
    kinds = {
        type(m): next(m.parameters()).dtype for m in model.modules() if len([*m.parameters(False)])
    }
    assert kinds[nn.Conv2d] == torch.bfloat16
    assert kinds[nn.Linear] == kinds[nn.LSTM] == model.ages.dtype == torch.float32
    distribution = model.predict(images(1), KEY_POINTS)
    assert distribution.dtype == torch.float32
    plain = lived("dhaa").predict(images(1), KEY_POINTS)
    difference = model.expectation(distribution) - model.expectation(plain)
    assert difference.abs().item() < 1


def test_bf16_is_for_processors_that_multiply_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    for able, expected in (({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert multiplies_bf16(cpu) is expected
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert not multiplies_bf16(cpu)
    assert not multiplies_bf16(torch.device("cuda"))
