from pathlib import Path

import pytest
import torch

from wrinkle.errors import WrinkleError
from wrinkle.models import create_model
from wrinkle.models.backbones.vgg import BLOCKS, convolutions
from wrinkle.models.pretrained import load_initial


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.slow
def test_vgg16_has_the_parameters_of_configuration_d() -> None:
    model = create_model("vgg16")
    body = parameters(model) - parameters(model.head)
    assert body + 4096 * 1000 + 1000 == 138_357_544  # with ImageNet's 1000 classes


@pytest.mark.parametrize(
    ("name", "width", "million"), [("thin_age_net", 32, 3.7), ("tiny_age_net", 16, 0.9)]
)
def test_age_nets_have_the_parameters_of_the_paper(name: str, width: int, million: float) -> None:
    model = create_model(name)
    assert round(parameters(model) / 1e6, 1) == million
    channels, expected = 3, 0
    for factor, count in BLOCKS:
        for _ in range(count):
            expected += channels * factor * width * 9 + 2 * factor * width
            channels = factor * width
    assert parameters(model) == expected + 8 * width * 101 + 101


def test_hybrid_pooling_is_the_mean_of_maxima() -> None:
    torch.manual_seed(0)
    model = create_model("tiny_age_net", input_size=64).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = model.features[:-1](images)
        found = model.forward_features(images)
    assert before.shape == (2, 128, 4, 4)
    maxima = before.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))
    torch.testing.assert_close(found, maxima.mean((2, 3)))


def test_torchvisions_names_are_understood(tmp_path: Path) -> None:
    """Its file has the convolutions, two layers, and a third one for ImageNet's classes."""
    donor = create_model("vgg16", input_size=32, width=2)
    state = {n: p for n, p in donor.state_dict().items() if not n.startswith("head.")}
    state["classifier.6.weight"], state["classifier.6.bias"] = (
        torch.zeros(1000, 128),
        torch.zeros(1000),
    )
    file = tmp_path / "vgg16.pth"
    torch.save(state, file)
    model = create_model("vgg16", input_size=32, width=2)
    head = model.head.fc.weight.clone()
    load_initial(model, str(file))
    assert torch.equal(model.classifier[3].weight, donor.classifier[3].weight)
    assert torch.equal(model.head.fc.weight, head)
    names = [n for n in convolutions(64, False).state_dict()]
    assert names[:4] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert names[-1] == "28.bias"  # as in torchvision's features


@pytest.mark.parametrize("name", ["vgg16", "thin_age_net", "tiny_age_net"])
def test_small_inputs_are_one_line(name: str) -> None:
    with pytest.raises(WrinkleError, match="input_size is 31"):
        create_model(name, input_size=31)


def test_dropout_is_checked() -> None:
    with pytest.raises(WrinkleError, match="dropout is 1"):
        create_model("vgg16", input_size=32, width=2, dropout=1.0)
