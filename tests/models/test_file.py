import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tests.tiny import Tiny, tiny
from wrinkle import files
from wrinkle.errors import WrinkleError
from wrinkle.faces.align import TEMPLATE_VERSION
from wrinkle.files import read_tensors, write_tensors
from wrinkle.models.file import load_model, save_model
from wrinkle.training.state import optimizer_tensors, restore_optimizer


def card(**fields: Any) -> dict[str, Any]:
    return {
        "model": {"name": "tiny", "fields": fields},
        "input": {"size": 32, "zoom": 1.0, "template": TEMPLATE_VERSION},
        "ages": [0, 1],
        "provenance": {"recipe": "größe: 1"},
    }


@pytest.fixture
def model() -> Tiny:
    torch.manual_seed(0)
    return tiny(max_age=50)


@pytest.fixture
def path(tmp_path: Path, model: Tiny) -> Path:
    save_model(tmp_path / "m.safetensors", model, card(max_age=50))
    return tmp_path / "m.safetensors"


def error_of(path: Path) -> str:
    with pytest.raises(WrinkleError) as error:
        load_model(path)
    line = str(error.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line


def test_what_is_saved_is_loaded(path: Path, model: Tiny) -> None:
    loaded, header = load_model(path)
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    assert header == {
        "format": 1, "kind": "model", **card(max_age=50), "sha256": header["sha256"]
    }  # fmt: skip
    # Any other reader of safetensors opens it too.
    assert load_file(path).keys() == model.state_dict().keys()


def test_channels_last_weights_are_stored_plainly(tmp_path: Path, model: Tiny) -> None:
    before = model.conv.weight.detach().clone()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_model(tmp_path / "m", model, card(max_age=50))
    assert torch.equal(load_model(tmp_path / "m")[0].conv.weight, before)  # type: ignore[arg-type]


def test_half_keeps_norms_and_loads_as_float32(tmp_path: Path, model: Tiny, path: Path) -> None:
    save_model(tmp_path / "half", model, card(max_age=50), half=True)
    dtypes = {name: tensor.dtype for name, tensor in load_file(tmp_path / "half").items()}
    assert dtypes["conv.weight"] == dtypes["head.fc.weight"] == torch.float16
    assert dtypes["bn.running_var"] == dtypes["head.fc.bias"] == torch.float32
    loaded, _ = load_model(tmp_path / "half")
    assert loaded.fc.weight.dtype == torch.float32
    torch.testing.assert_close(loaded.fc.weight, model.head.fc.weight, rtol=1e-3, atol=1e-4)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_flipped_byte_and_any_cut_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "flips"
    folder.mkdir(exist_ok=True)
    whole = folder / "whole"
    if not whole.exists():
        save_model(whole, tiny(max_age=10), card(max_age=10))
    content = bytearray(whole.read_bytes())
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    (folder / "damaged").write_bytes(content)
    assert "damaged" in error_of(folder / "damaged") or "another program" in error_of(
        folder / "damaged"
    )


def test_files_that_are_something_else(tmp_path: Path, path: Path, model: Tiny) -> None:
    assert "no such file" in error_of(tmp_path / "missing")
    (tmp_path / "text").write_text("hello")
    assert "damaged or cut short" in error_of(tmp_path / "text")
    save_file(model.state_dict(), tmp_path / "foreign", {"format": "pt"})
    assert "another program" in error_of(tmp_path / "foreign")
    write_tensors(tmp_path / "state", {}, {"kind": "state"})
    assert "a wrinkle state file of format 1; this needs a model file" in error_of(
        tmp_path / "state"
    )


def test_models_that_do_not_fit(tmp_path: Path, model: Tiny) -> None:
    path = tmp_path / "m"
    unknown = card()
    unknown["model"]["name"] = "tyny"
    save_model(path, model, unknown)
    assert "no model 'tyny'; did you mean 'tiny'?" in error_of(path)
    save_model(path, model, card(max_age=51))
    assert "fc.weight is (51, 8) in the file, (52, 8) in the model" in error_of(path)
    save_model(path, torch.nn.Linear(2, 2), card())
    assert "missing in the file" in error_of(path) or "missing in the model" in error_of(path)
    old = card(max_age=50)
    old["input"]["template"] = TEMPLATE_VERSION + 1
    save_model(path, model, old)
    assert f"face template {TEMPLATE_VERSION + 1}" in error_of(path)


def test_a_newer_format_is_named(
    tmp_path: Path, model: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "FORMAT", 99)
    save_model(tmp_path / "m", model, card(max_age=50))
    monkeypatch.undo()
    assert "format 99" in error_of(tmp_path / "m")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_file(
    path: Path, model: Tiny, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(WrinkleError, match=r"the disk is full.*is kept"):
        save_model(path, tiny(max_age=20), card(max_age=20))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_an_optimizer_goes_on_where_it_was(tmp_path: Path, name: str) -> None:
    def train(model: Tiny, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for step in steps:
            torch.manual_seed(step)
            optimizer.zero_grad()
            model(torch.randn(4, 3, 32, 32)).logits.square().mean().backward()
            optimizer.step()

    def create() -> tuple[Tiny, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = tiny()
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        extra = {"momentum": 0.9, "nesterov": True} if name == "SGD" else {}
        return model, getattr(torch.optim, name)(model.parameters(), lr=0.1, **extra)

    whole, optimizer = create()
    train(whole, optimizer, range(3))
    weights = {k: v.clone() for k, v in whole.state_dict().items()}
    write_tensors(tmp_path / "o", optimizer_tensors(whole, optimizer), {"kind": "state"})
    train(whole, optimizer, range(3, 6))

    again, optimizer = create()
    again.load_state_dict(weights)
    restore_optimizer(again, optimizer, read_tensors(tmp_path / "o", "state")[0])
    train(again, optimizer, range(3, 6))
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_headers_are_json(path: Path) -> None:
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    metadata = json.loads(raw[8 : 8 + length])["__metadata__"]
    assert json.loads(metadata["wrinkle"])["provenance"] == {"recipe": "größe: 1"}
