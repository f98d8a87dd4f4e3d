"""Multiply-adds against a count by hand."""

import pytest
import torch

from wrinkle.models import create_model
from wrinkle.models.cost import costs


def layer(inputs: int, outputs: int, side: int) -> int:
    """Two blocks of two 3×3 convolutions at `side`, and a 1×1 shortcut where they stride."""
    shortcut = inputs * outputs * side**2 if inputs != outputs else 0
    return 9 * side**2 * (inputs * outputs + 3 * outputs**2) + shortcut


@pytest.mark.parametrize(("w", "size"), [(64, 256), (16, 128)])
def test_dhaa_by_hand(w: int, size: int) -> None:
    model = create_model("dhaa", width=w, input_size=size)
    found = {row.part: row for row in costs(model)}
    side = size * 7 // 32 // 2  # of CB2's output: 28 at full size
    stem = 3 * w * 49 * (size // 2) ** 2
    trunk = 4 * 9 * w**2 * (size // 4) ** 2
    second = layer(w, 2 * w, side)
    half = -(-side // 2)
    quarter = -(-half // 2)
    last = 8 * w * 128 * quarter**2 + 128 * 128
    sub = layer(2 * w, 4 * w, half) + layer(4 * w, 8 * w, quarter) + last
    # Global-local: 4w channels come in, so the shortcut is one although channels do not change.
    joint = layer(4 * w, 4 * w, half) + 16 * w**2 * half**2 + layer(4 * w, 8 * w, quarter) + last
    fusion = 3 * 4 * 128 * (128 + 128)
    classifier, final = 128 * 101, 384 * 101
    assert found["conv1"].multiply_adds == stem
    assert found["layer1"].multiply_adds == trunk
    assert found["layer2.l2"].multiply_adds == second
    assert found["sub_networks.g3"].multiply_adds == sub
    assert found["sub_networks.c1"].multiply_adds == joint
    assert found["fusion.l"].multiply_adds == fusion
    assert found["sub_heads.GL-3"].multiply_adds == classifier
    assert found["head"].multiply_adds == final
    total = stem + trunk + 6 * second + 6 * sub + 3 * joint + 3 * fusion + 9 * classifier + final
    assert found["total"].multiply_adds == total
    assert found["total"].parameters == sum(p.numel() for p in model.parameters())
    if w == 64:
        assert round(total / 1e9, 1) == 10.8


def test_known_networks() -> None:
    """ResNet-18 at 224 is published with 1.8 G, EfficientNet-Lite0 with 407 M multiply-adds."""
    resnet = costs(create_model("resnet18", max_age=999))[-1]
    assert (resnet.parameters, round(resnet.multiply_adds / 1e9, 2)) == (11_689_512, 1.81)
    lite = costs(create_model("efficientnet_lite0", max_age=999, input_size=224))[-1]
    assert lite.multiply_adds == pytest.approx(407e6, rel=0.06)


def test_the_model_is_left_as_it_was() -> None:
    model = create_model("dhaa", width=2, input_size=64).train()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    costs(model)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
