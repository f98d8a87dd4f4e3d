"""The adapter to timm, on a stand-in: timm needs torchvision, which not every machine loads."""

import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from wrinkle import errors
from wrinkle.errors import WrinkleError
from wrinkle.models import create_model, load_initial


class Network(nn.Module):
    """What `timm.create_model(..., num_classes=0)` gives, as far as it is used."""

    pretrained_cfg: ClassVar = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 4, stride=4)
        self.bn = nn.BatchNorm2d(12)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.bn(self.conv(images)).mean((2, 3))
        return features


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("timm")
    module.is_model = lambda name: name == "small"  # type: ignore[attr-defined]
    module.create_model = lambda name, pretrained, num_classes: Network()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", module)
    monkeypatch.setattr(errors, "missing_packages", lambda extra: [])


@pytest.mark.parametrize("head", ["softmax", "coral"])
def test_it_predicts_with_any_head(head: str) -> None:
    model = create_model("timm:small", input_size=32, head=head)
    assert model.training
    assert model.mean == (0.1, 0.2, 0.3)
    found = model.eval().predict(torch.randn(2, 3, 32, 32), torch.zeros(2, 5, 2))
    assert found.distribution.shape == (2, 101)
    assert int(model.state_dict()["network.bn.num_batches_tracked"]) == 0


def test_it_starts_from_its_own_weights_on_disk(tmp_path: Path) -> None:
    given = {
        name: torch.randn_like(t.float()).to(t.dtype) for name, t in Network().state_dict().items()
    }
    torch.save({**given, "fc.weight": torch.zeros(1000, 12)}, tmp_path / "small.pth")
    model = create_model("timm:small", input_size=32)
    before = model.head.state_dict()["fc.weight"].clone()
    load_initial(model, str(tmp_path / "small.pth"))
    for name, tensor in given.items():
        assert torch.equal(model.state_dict()[f"network.{name}"], tensor)
    assert torch.equal(model.head.state_dict()["fc.weight"], before)


def test_another_networks_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(12, 3, 4, 4)}, tmp_path / "other.pth")
    with pytest.raises(WrinkleError, match="another network"):
        load_initial(create_model("timm:small", input_size=32), str(tmp_path / "other.pth"))


@pytest.mark.parametrize(
    ("name", "line"), [("timm:smal", "timm has no network 'smal'"), ("timm", "architecture")]
)
def test_unknown_networks_are_one_line(name: str, line: str) -> None:
    with pytest.raises(WrinkleError, match=line):
        create_model(name)


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "missing_packages", lambda extra: ["timm"])
    with pytest.raises(WrinkleError, match=r"timm is missing.*pip install .*timm"):
        create_model("timm:small")
