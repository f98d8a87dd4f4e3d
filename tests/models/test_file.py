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
from wrinkle.faces.align import TEMPLATE, TEMPLATE_VERSION
from wrinkle.files import read_tensors, write_tensors
from wrinkle.models import AgeModel, create_model, load_initial
from wrinkle.models.file import amend, load_model, save_model
from wrinkle.training.state import optimizer_tensors, restore_optimizer


def card(**fields: Any) -> dict[str, Any]:
    return {
        "model": {"name": "tiny", "fields": fields},
        "input": {
            "size": 32,
            "zoom": 1.0,
            "crop": 48,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.25, 0.25, 0.25],
            "template": TEMPLATE_VERSION,
        },
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
        "format": 2, "kind": "model", **card(max_age=50), "sha256": header["sha256"]
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
    assert loaded.head.fc.weight.dtype == torch.float32
    torch.testing.assert_close(loaded.head.fc.weight, model.head.fc.weight, rtol=1e-3, atol=1e-4)


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
    assert "a wrinkle state file of format 2; this needs a model file" in error_of(
        tmp_path / "state"
    )


def test_models_that_do_not_fit(tmp_path: Path, model: Tiny) -> None:
    path = tmp_path / "m"
    unknown = card()
    unknown["model"]["name"] = "tyny"
    save_model(path, model, unknown)
    assert "unknown model 'tyny' (did you mean 'tiny'?)" in error_of(path)
    save_model(path, model, card(max_age=51))
    assert "head.fc.weight is (51, 8) in the file, (52, 8) in the model" in error_of(path)
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
            model(torch.randn(4, 3, 32, 32)).raw.square().mean().backward()
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


OLD_NAMES = {
    "resnet18": {"head.fc.": "fc."},
    "adpf": {"attention.head.fc.": "attention.fc.", "head.fc.": "fc."},
    "dhaa": {
        "head.fc.": "fc.",
        "sub_heads.G-1.fc.": "sub_classifiers.g1.",
        "sub_heads.G-2.fc.": "sub_classifiers.g2.",
        "sub_heads.G-3.fc.": "sub_classifiers.g3.",
        "sub_heads.L-1.fc.": "sub_classifiers.l1.",
        "sub_heads.L-2.fc.": "sub_classifiers.l2.",
        "sub_heads.L-3.fc.": "sub_classifiers.l3.",
        "sub_heads.GL-1.fc.": "sub_classifiers.c1.",
        "sub_heads.GL-2.fc.": "sub_classifiers.c2.",
        "sub_heads.GL-3.fc.": "sub_classifiers.c3.",
    },
}
"""How names of tensors start in files of format 2 → how they did in format 1."""
OLD_FIELDS = {
    "resnet18": {"width": 4, "max_age": 60},
    "adpf": {"width": 4, "channels": 10, "heads": 2, "stride": 8, "patch_size": 32},
    "dhaa": {"width": 4},
}


def in_format_1(
    path: Path, model: AgeModel, name: str, fields: dict[str, Any], patch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Write a model file as wrinkle did before heads; returns its header."""
    tensors = {}
    for entry, tensor in model.state_dict().items():
        for new, old in OLD_NAMES[name].items():
            if entry.startswith(new):
                entry = old + entry.removeprefix(new)
        tensors[entry] = tensor
    header = {"kind": "model", **card(), "model": {"name": name, "fields": fields}}
    with patch.context() as earlier:
        earlier.setattr(files, "FORMAT", 1)
        write_tensors(path, tensors, header)
    return header


@pytest.mark.parametrize(
    ("name", "head"), [("resnet18", None), ("dhaa", None), ("adpf", None), ("adpf", "rectified")]
)
@torch.no_grad()
def test_a_file_of_format_1_is_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, head: str | None
) -> None:
    torch.manual_seed(0)
    fields = {**OLD_FIELDS[name], "input_size": 64}
    model = create_model(name, **fields, **({"head": head} if head else {})).eval()
    for classifier in model.classifiers.values():
        classifier.get_submodule("fc").weight.mul_(20)  # an age of its own for every face
    old_fields = {**fields, "distribution": head} if head else fields
    path = tmp_path / "old.safetensors"
    in_format_1(path, model, name, old_fields, monkeypatch)
    stored = load_file(path)
    assert "fc.weight" in stored
    assert not [entry for entry in stored if "head.fc" in entry or "sub_heads" in entry]

    loaded, header = load_model(path)
    images = torch.randn(2, 3, 64, 64)
    points = torch.tensor(TEMPLATE, dtype=torch.float32).expand(2, 5, 2)
    expected, found = (each.predict_all(images, points) for each in (model, loaded))
    assert torch.equal(found.distribution, expected.distribution)
    assert torch.equal(found.age, expected.age)
    assert type(loaded.head) is type(model.head)
    assert expected.age[0, 0] != expected.age[1, 0]
    assert header["model"]["fields"] == {**fields, **({"head": head} if head else {})}

    # A start from it, and a copy with another header, which is of today's format.
    start = create_model(name, **header["model"]["fields"])
    load_initial(start, str(path))
    assert all(torch.equal(t, start.state_dict()[n]) for n, t in model.state_dict().items())
    amend(path, tmp_path / "new.safetensors", calibration={"faces": 3})
    again, header = load_model(tmp_path / "new.safetensors")
    assert (header["format"], header["calibration"]) == (2, {"faces": 3})
    assert torch.equal(again.predict_all(images, points).age, expected.age)


def test_the_second_stage_starts_from_a_first_one_of_format_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"width": 4, "channels": 10, "heads": 2, "stride": 8, "input_size": 64}
    torch.manual_seed(1)
    attention = create_model("adpf_attention", **fields)
    path = tmp_path / "attention.safetensors"
    monkeypatch.setitem(OLD_NAMES, "adpf_attention", {"head.fc.": "fc."})
    in_format_1(path, attention, "adpf_attention", fields, monkeypatch)
    model = create_model("adpf", **fields, patch_size=32)
    before = model.state_dict()["head.fc.weight"].clone()
    load_initial(model, str(path))
    for name, tensor in attention.state_dict().items():
        assert torch.equal(model.state_dict()[f"attention.{name}"], tensor), name
    assert torch.equal(model.state_dict()["head.fc.weight"], before)


def test_a_damaged_file_of_format_1_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.safetensors"
    model = create_model("resnet18", width=4, input_size=64)
    in_format_1(path, model, "resnet18", {"width": 4, "input_size": 64}, monkeypatch)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "damaged" in error_of(path)
