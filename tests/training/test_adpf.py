"""Training in two stages: AttentionNet, then FusionNet upon it; nothing lost, nothing changed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.training.test_loop import TORCHRUN, history, program
from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.faces.input import InputSpec
from wrinkle.inference.predict_store import predict_store
from wrinkle.models.file import load_model
from wrinkle.runs.recipe import load_recipe
from wrinkle.training import folds
from wrinkle.training.extras import (
    EXTRAS_FILE,
    compute_extras,
    plain_views,
    read_extras,
    write_extras,
)
from wrinkle.training.folds import train
from wrinkle.training.stop import Stopped, StopRequest

FIELDS = {"width": 4, "channels": 10, "heads": 2, "stride": 8}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def two_stages(drawn_recipe: Path) -> Path:
    """A recipe of a small ADPF upon the drawn faces, its first stage's beside it."""
    folder = drawn_recipe.parent
    first = {
        "base": "drawn.yaml",
        "model": {"name": "adpf_attention", **FIELDS},
        "loss": [{"name": "dldl_v2"}, {"name": "diversity", "form": "cosine", "weight": 0.01}],
        "training": {"epochs": 2, "ema": None},
    }
    second = {
        "base": "drawn.yaml",
        "first": "attention.yaml",
        "model": {"name": "adpf", **FIELDS, "patch_size": 32},
        "training": {"epochs": 2},
    }
    (folder / "attention.yaml").write_text(yaml.safe_dump(first))
    (folder / "adpf.yaml").write_text(yaml.safe_dump(second))
    return folder / "adpf.yaml"


def test_one_command_trains_both_and_a_second_one_nothing(
    two_stages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (result,) = train(load_recipe(two_stages), "1", tmp_path)
    first, second = tmp_path / "attention" / "1", tmp_path / "adpf" / "1"
    net, _ = load_model(first / "model.safetensors")
    model, header = load_model(second / "model.safetensors")
    for name, tensor in net.state_dict().items():
        assert torch.equal(model.state_dict()[f"attention.{name}"], tensor)
    assert "name: adpf_attention" in header["provenance"]["recipe"]
    assert (tmp_path / "attention" / "results.md").is_file()
    assert not list(tmp_path.rglob(EXTRAS_FILE)) + list(tmp_path.rglob("state.safetensors"))
    monkeypatch.setattr(folds, "Trainer", None)
    assert train(load_recipe(two_stages), "1", tmp_path) == [result]


def test_another_second_stage_takes_the_first_as_it_stands(
    two_stages: Path, tmp_path: Path
) -> None:
    train(load_recipe(two_stages), "1", tmp_path)
    before = (tmp_path / "attention" / "1" / "model.safetensors").stat().st_mtime_ns
    train(load_recipe(two_stages, ["model.ranking=false", "name=unranked"]), "1", tmp_path)
    assert (tmp_path / "attention" / "1" / "model.safetensors").stat().st_mtime_ns == before
    a, b = (load_file(tmp_path / n / "1" / "model.safetensors") for n in ("adpf", "unranked"))
    assert torch.equal(a["attention.conv1.weight"], b["attention.conv1.weight"])


def test_a_file_may_stand_for_the_first_stage(two_stages: Path, tmp_path: Path) -> None:
    train(load_recipe(two_stages.with_name("attention.yaml")), "1", tmp_path)
    file = tmp_path / "attention" / "1" / "model.safetensors"
    overrides = ["first=null", f"init={file}", "training.epochs=1", "name=from_file"]
    train(load_recipe(two_stages, overrides), "1", tmp_path)
    weights = load_file(tmp_path / "from_file" / "1" / "model.safetensors")
    assert torch.equal(weights["attention.conv1.weight"], load_file(file)["conv1.weight"])


@pytest.mark.kills
@pytest.mark.slow
def test_killed_anywhere_in_both_stages_it_ends_with_the_same_bits(
    two_stages: Path, tmp_path: Path
) -> None:
    steps = ["training.checkpoint_every_steps=1", "first.training.checkpoint_every_steps=1"]
    train(load_recipe(two_stages), "1", tmp_path / "whole")
    program("killed", two_stages, tmp_path / "killed", 8, *steps)
    for name in ("attention", "adpf"):
        whole, killed = (tmp_path / where / name / "1" for where in ("whole", "killed"))
        weights, others = (load_file(f / "model.safetensors") for f in (whole, killed))
        assert weights.keys() == others.keys()
        assert all(torch.equal(weights[n], others[n]) for n in weights)
        assert [h["loss"] for h in history(whole)] == [h["loss"] for h in history(killed)]


@pytest.mark.slow
def test_two_processes_reach_the_loss_of_one(two_stages: Path, tmp_path: Path) -> None:
    """The second stage from the same first one: where a map has two equal peaks, rounding decides
    which is cut out."""
    attention = two_stages.with_name("attention.yaml")
    train(load_recipe(two_stages), "1", tmp_path / "one")
    shutil.copytree(tmp_path / "one" / "attention", tmp_path / "two" / "attention")
    program("once", two_stages, tmp_path / "two", launcher=[*TORCHRUN, "2"])
    program("once", attention, tmp_path / "first", launcher=[*TORCHRUN, "2"])
    for name, where in (("attention", "first"), ("adpf", "two")):
        one, two = (history(tmp_path / run / name / "1") for run in ("one", where))
        for a, b in zip(one, two, strict=True):
            assert a["loss"] == pytest.approx(b["loss"], rel=2e-2)


@pytest.mark.parametrize("stopped_at", [0, 1, 3])
def test_stopped_while_looking_for_patches_it_goes_on(
    two_stages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_at: int
) -> None:
    train(load_recipe(two_stages.with_name("attention.yaml")), "1", tmp_path)
    real, calls = StopRequest.check, []

    def check(self: StopRequest) -> None:
        calls.append(1)
        self.requested = self.requested or len(calls) == stopped_at + 1
        real(self)

    monkeypatch.setattr(StopRequest, "check", check)
    with pytest.raises(Stopped, match="stopped in epoch 1 of 2, fold 1"):
        train(load_recipe(two_stages), "1", tmp_path)
    monkeypatch.setattr(StopRequest, "check", real)
    (result,) = train(load_recipe(two_stages), "1", tmp_path)
    assert result.epochs >= 1


def test_patches_are_looked_for_once_a_picture(
    two_stages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice each, itself and its mirror picture, whatever the epochs; the test part at the end."""
    from wrinkle.models.adpf import ADPF

    looked, real = [], ADPF.find_patches
    monkeypatch.setattr(
        ADPF, "find_patches", lambda self, x: looked.append(len(x)) or real(self, x)
    )
    recipe = load_recipe(two_stages, ["training.epochs=3"])
    train(recipe, "1", tmp_path)
    blank = 1  # on which the recipe is tried out before anything is written
    assert sum(looked) == 2 * len(Store(recipe.data.store)) + blank


def test_found_patches_are_those_the_network_finds_itself(two_stages: Path, tmp_path: Path) -> None:
    recipe = load_recipe(two_stages, ["training.epochs=1"])
    train(recipe, "1", tmp_path)
    model, header = load_model(tmp_path / "adpf" / "1" / "model.safetensors")
    store, rows = Store(recipe.data.store), np.arange(5)
    spec = InputSpec.from_header(header["input"])
    views = plain_views(store, rows, spec, torch.device("cpu"), 0, lambda: None, "")
    write_extras(tmp_path, rows, compute_extras(model, views))
    every = read_extras(tmp_path, len(store))
    boxes = every["boxes"]
    assert boxes.shape == (len(store), 2, 2, 4)
    assert np.isnan(boxes[5:]).all()
    found = predict_store(model, spec, store, rows, extras=every).distribution
    own = predict_store(model, spec, store, rows).distribution
    np.testing.assert_allclose(found, own, atol=1e-4)
    boxes[:, :, :, 2:] = boxes[:, :, :, :2] + 0.7
    moved = predict_store(model, spec, store, rows, extras=every).distribution
    assert np.abs(moved - found).max() > 1e-4


def test_a_first_stage_with_another_head(two_stages: Path, tmp_path: Path) -> None:
    """Patches come from the maps; the head that AttentionNet learned them with does not matter."""
    overrides = ["first.model.head=coral", "first.loss=[{name: ordinal}]", "training.epochs=1"]
    train(load_recipe(two_stages, overrides), "1", tmp_path)
    first, second = (
        load_file(tmp_path / name / "1" / "model.safetensors") for name in ("attention", "adpf")
    )
    assert torch.equal(second["attention.rmhha.scales"], first["rmhha.scales"])
    assert second["attention.head.fc.weight"].shape[0] == 101


@pytest.mark.slow
def test_a_finished_run_does_not_need_its_first_stage_any_more(
    two_stages: Path, tmp_path: Path
) -> None:
    results = train(load_recipe(two_stages), "1-2", tmp_path)
    shutil.rmtree(tmp_path / "attention")
    assert train(load_recipe(two_stages), "1-2", tmp_path) == results
    assert not (tmp_path / "attention").exists()
    train(load_recipe(two_stages), "1-3", tmp_path)
    assert sorted(f.name for f in (tmp_path / "attention").iterdir() if f.is_dir()) == ["3"]


def test_predecessor_learns_its_places_from_the_training_part(
    two_stages: Path, tmp_path: Path
) -> None:
    pytest.importorskip("sklearn")
    overrides = ["first=null", "model={name: bif_fusion, width: 4, patches: 3, patch_size: 32}"]
    train(load_recipe(two_stages, [*overrides, "training.ema=null", "name=fixed"]), "1", tmp_path)
    boxes = load_file(tmp_path / "fixed" / "1" / "model.safetensors")["boxes"]
    assert len(np.unique(boxes.numpy(), axis=0)) == 3
    train(load_recipe(two_stages, [*overrides, "training.ema=0.9", "name=mean"]), "1", tmp_path)
    averaged = load_file(tmp_path / "mean" / "1" / "model.safetensors")["boxes"]
    assert torch.equal(averaged, boxes)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["first=null"], "adpf requires a trained adpf_attention: give its recipe as `first`"),
        (["model={name: tiny}"], "tiny is trained in one stage: leave out `first`"),
        (["model.heads=3"], "the first stage, attention, holds another network"),
        (["first.model={name: tiny}"], "first: its model is tiny; adpf_attention is needed"),
        (["first.data.protocol=random:5"], "first: data.protocol is 'random:5' there"),
        (["first.input.size=64"], "first: input.size is 64 there, 32 here"),
        (["first.training.epochs=none"], "training.epochs is 'none'"),
        (["first=none.yaml"], "none.yaml: cannot read it"),
        (["first=null", "init=none.safetensors"], "no such file of starting weights"),
        (["first=null", "init=runs/trunk/all/model.safetensors"], "train the recipe trunk first"),
        (["first=null", "first.training.epochs=1"], "this recipe has no first stage"),
        (["first.loss.diversity.form=cosin"], "form is 'cosin'.*'literal', 'rectified'"),
        (["first.loss.diversity.weight=-1"], r"loss.*weight is -1"),
        (["first.loss.diversity.lambda=1"], "diversity has no field 'lambda'; choices: form"),
        (["first.loss.diverse.weight=1"], "no 'diverse' there; choices: dldl_v2, diversity"),
        (["first.model.heads=99"], "heads is 99"),
        (["first.init=none.pth"], "none.pth: no such file"),
        (["loss.dldl_v2.sigma=-1"], "sigma is -1"),
        (["model.ranks=2"], "adpf has no field 'ranks'"),
        (["loss=[{name: dldl_v2}, {name: diversity}]"], "diversity needs the output 'maps'"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    two_stages: Path, tmp_path: Path, overrides: list[str], line: str
) -> None:
    with pytest.raises(WrinkleError, match=line) as caught:
        train(load_recipe(two_stages, overrides), "1", tmp_path / "runs")
    assert "\n" not in str(caught.value)
    # Nothing was trained before it was said, no folder left for the mended command to stumble on.
    assert not list(tmp_path.rglob("model.safetensors")) + list(tmp_path.rglob("recipe.yaml"))


def test_overrides_of_data_hold_for_both_stages(two_stages: Path, tmp_path: Path) -> None:
    copy = shutil.copy(load_recipe(two_stages).data.store, tmp_path / "copy.arrow")
    overrides = [f"data.store={copy}", "input.size=64", "training.seed=3", "training.epochs=7"]
    recipe = load_recipe(two_stages, [*overrides, "first.training.epochs=1"])
    assert recipe.first is not None
    assert recipe.first.data == recipe.data
    assert recipe.first.input == recipe.input
    assert (recipe.first.training.seed, recipe.first.training.epochs) == (3, 1)
    assert (recipe.training.seed, recipe.training.epochs) == (3, 7)
    written = tmp_path / "written.yaml"
    written.write_text(recipe.to_yaml())
    assert load_recipe(written) == recipe


@pytest.mark.slow
@pytest.mark.parametrize("places", ["attention", "fixed"])
def test_attention_by_construction_in_two_stages(
    two_stages: Path, tmp_path: Path, places: str
) -> None:
    """From a view of 128 pixels; fixed patches are found before training and kept in the model."""
    model = ["model.form=pooling", "model.face_size=64"]
    overrides = ["input.size=128", *model, *(f"first.{each}" for each in model)]
    train(load_recipe(two_stages, [*overrides, f"model.places={places}"]), "1", tmp_path)
    found, header = load_model(tmp_path / "adpf" / "1" / "model.safetensors")
    assert header["model"]["fields"]["places"] == places
    images = torch.randn(3, 3, 128, 128)
    boxes = found.row_extras(images)["boxes"]
    assert (boxes[..., 2:] - boxes[..., :2]).min() > 0.6
    assert bool((boxes[0] == boxes[1]).all()) == (places == "fixed")
    assert boxes.abs().max() < 1
