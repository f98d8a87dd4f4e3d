from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Command
from wrinkle import errors

pytest.importorskip("accelerate", reason="needs the extra train")


@pytest.fixture
def recipe(tmp_path: Path, example_store: Path) -> Path:
    content = {
        "model": {"name": "resnet18"},
        "data": {"store": str(example_store), "protocol": "random:5"},
        "input": {"size": 32},
        "optimizer": {"name": "sgd", "lr": 0.001},
        "training": {"epochs": 1, "batch": 3, "workers": 0},
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_trained_model_is_evaluated_from_the_command_line(
    wrinkle: Command, recipe: Path, example_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(recipe.parent)
    done = wrinkle("train", recipe, "--folds", "2", "training.seed=3", "name=trial")
    assert done.code == 0
    folder = recipe.parent / "runs" / "trial"
    assert "| 2 | 1 | " in (folder / "results.md").read_text()
    model = folder / "2" / "model.safetensors"
    card = yaml.safe_load(wrinkle("models", model).out)
    assert card["provenance"]["seed"] == 3
    done = wrinkle("evaluate", model, example_store, "--split", "test")
    assert done.code == 0
    assert done.out.startswith("1 face: MAE ")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.epoch=3", "unknown field training.epoch (did you mean epochs?)"),
        ("optimiser.name=sgd", "unknown field optimiser (did you mean optimizer?)"),
        ("training.epochs=many", "training.epochs is 'many'"),
        ("optimizer.name=adam", "optimizer.name is 'adam'; choices: 'sgd' or 'adamw'"),
        ("model.name=resnet81", "unknown model 'resnet81'"),
        ("model.depth=3", "resnet18 has no field 'depth'"),
        ("data.protocol=luck", "unknown protocol 'luck'"),
        ("data.store=none.arrow", "no store at none.arrow"),
        ("training", "write section.field=value"),
    ],
)
def test_a_wrong_field_is_one_line(
    wrinkle: Command,
    recipe: Path,
    override: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(recipe.parent)
    done = wrinkle("train", recipe, override)
    assert done.code == 2
    (line,) = done.err
    assert expected in line


def test_files_that_are_not_recipes_are_one_line(wrinkle: Command, tmp_path: Path) -> None:
    for content, expected in [
        (b"model: [", "not YAML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"- 1", "is a YAML mapping"),
        (b"{}", "field model is missing"),
    ]:
        (tmp_path / "x.yaml").write_bytes(content)
        done = wrinkle("train", tmp_path / "x.yaml")
        assert done.code == 2
        (line,) = done.err
        assert expected in line
    assert wrinkle("train", "utkface/resnet").err[0].startswith("wrinkle: no recipe")


def test_a_recipe_is_found_by_its_listed_name(
    wrinkle: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = wrinkle("train", "efficientnet_lite0", "data.store=none.arrow")
    assert done == (2, "", ["wrinkle: no store at none.arrow: make one with `wrinkle prepare`"])


def test_a_missing_extra_is_named(
    wrinkle: Command, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "extras", lambda: {"train": ["no-such-package"]})
    (line,) = wrinkle("train", recipe).err
    assert "no-such-package is missing" in line
    assert ".[train]" in line


def test_all_variants_and_seeds_are_trained_and_continued(
    wrinkle: Command, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = yaml.safe_load(recipe.read_text())
    content["variants"] = {
        "dldl": {"loss": [{"name": "dldl"}]},
        "coral": {"model": {"head": "coral"}, "loss": [{"name": "ordinal"}]},
    }
    recipe.write_text(yaml.safe_dump(content, sort_keys=False))
    monkeypatch.chdir(recipe.parent)
    command = ("train", recipe, "--variants", "all", "--seeds", "0-1", "--folds", "1")
    done = wrinkle(*command)
    assert done.code == 0
    runs = recipe.parent / "runs"
    names = ["small-dldl-seed0", "small-coral-seed0", "small-dldl-seed1", "small-coral-seed1"]
    assert [line for line in done.err if line.startswith("run ")] == [
        f"run {number} of 4: {name}" for number, name in enumerate(names, 1)
    ]
    models = [runs / name / "1" / "model.safetensors" for name in names]
    before = [model.stat().st_mtime_ns for model in models]
    for missing in (models[1].parent / "result.json", models[1]):
        missing.unlink()
    assert wrinkle(*command).code == 0
    after = [model.stat().st_mtime_ns for model in models]
    assert [a == b for a, b in zip(after, before, strict=True)] == [True, False, True, True]


def test_a_failed_run_does_not_stop_the_others(
    wrinkle: Command, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = yaml.safe_load(recipe.read_text())
    loss = [{"name": "dldl"}]
    content["variants"] = {
        "first": {"loss": loss},
        "second": {"loss": loss, "init": "nowhere.pth"},
        "third": {"loss": loss, "training": {"seed": 1}},
    }
    recipe.write_text(yaml.safe_dump(content, sort_keys=False))
    monkeypatch.chdir(recipe.parent)
    done = wrinkle("train", recipe, "--variants", "all", "--folds", "1")
    assert done.code == 1
    (line,) = (line for line in done.err if "nowhere.pth" in line)
    assert "small-second" in line
    assert (recipe.parent / "runs/small-third/1/result.json").exists()
    done = wrinkle("train", recipe, "--variants", "second,first", "--folds", "1")
    assert done.code == 2
