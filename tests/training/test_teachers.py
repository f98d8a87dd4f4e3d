from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.faces.input import InputSpec
from wrinkle.inference.predict_store import predict_store
from wrinkle.models.file import load_model
from wrinkle.protocols import get_protocol
from wrinkle.runs.recipe import Recipe, load_recipe
from wrinkle.training.folds import train
from wrinkle.training.teachers import ensure_teachers, read_teachers, teacher_files

LOSS = "loss=[{name: dldl_v2, weight: 0.5}, {name: distillation, weight: 0.5}]"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def teacher(drawn_recipe: Path, tmp_path: Path) -> Path:
    train(load_recipe(drawn_recipe, ["training.epochs=2", "name=teacher"]), "1", tmp_path)
    return tmp_path / "teacher" / "1" / "model.safetensors"


def learner(drawn_recipe: Path, *teachers: Path, **fields: object) -> Recipe:
    listed = ", ".join(map(str, teachers))
    more = [f"{name}={value}" for name, value in fields.items()]
    return load_recipe(drawn_recipe, [LOSS, f"teachers=[{listed}]", "name=student", *more])


def keep(folder: Path, recipe: Recipe, between=lambda: None) -> np.ndarray:
    store = Store(recipe.data.store)
    rows = get_protocol("random:4").folds(store.columns)[0].train
    ensure_teachers(folder, recipe, store, rows, CPU, between)
    found = read_teachers(folder, len(store))
    assert np.flatnonzero(~np.isnan(found[:, 0])).tolist() == rows.tolist()
    return found[rows]


def test_the_mean_of_the_teachers(drawn_recipe: Path, tmp_path: Path, teacher: Path) -> None:
    train(load_recipe(drawn_recipe, ["training.epochs=1", "name=second"]), "1", tmp_path)
    second = tmp_path / "second" / "1" / "model.safetensors"
    recipe = learner(drawn_recipe, teacher, second)
    store = Store(recipe.data.store)
    rows = get_protocol("random:4").folds(store.columns)[0].train
    each = []
    for file in (teacher, second):
        model, header = load_model(file)
        spec = InputSpec.from_header(header["input"])
        each.append(predict_store(model.eval(), spec, store, rows).distribution)
    assert np.abs(each[0] - each[1]).max() > 0.001
    np.testing.assert_allclose(keep(tmp_path, recipe), np.mean(each, 0), atol=1e-4)


def test_a_stop_costs_one_teacher_at_most(
    drawn_recipe: Path, tmp_path: Path, teacher: Path
) -> None:
    recipe, calls = learner(drawn_recipe, teacher, teacher), []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 4:  # in the second one
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep(tmp_path, recipe, stop)
    (first,) = teacher_files(tmp_path)
    written = first.stat().st_mtime_ns
    keep(tmp_path, recipe)
    assert len(teacher_files(tmp_path)) == 2
    assert first.stat().st_mtime_ns == written


def test_a_student_follows_its_teacher(drawn_recipe: Path, tmp_path: Path, teacher: Path) -> None:
    alone = partial(load_recipe, drawn_recipe)
    far = alone(["training.epochs=3", "name=alone", "training.seed=7"])
    near = learner(drawn_recipe, teacher, **{"training.epochs": 3, "training.seed": 7})
    near = near.model_copy(update={"loss": near.loss[1:]})
    distances = []
    taught = load_model(teacher)[0].eval()
    store = Store(far.data.store)
    rows = get_protocol("random:4").folds(store.columns)[0].test
    for recipe in (far, near):
        train(recipe, "1", tmp_path)
        model, header = load_model(tmp_path / recipe.name / "1" / "model.safetensors")
        spec = InputSpec.from_header(header["input"])
        found, told = (predict_store(m.eval(), spec, store, rows) for m in (model, taught))
        distances.append(np.abs(found.distribution - told.distribution).sum(1).mean())
    assert distances[1] < distances[0]
    assert not teacher_files(tmp_path / "student" / "1")


def test_a_teacher_that_has_seen_the_test_pictures(
    drawn_recipe: Path, tmp_path: Path, teacher: Path
) -> None:
    with pytest.raises(WrinkleError, match=r"teacher .* was trained on 64 of the 64 test pictures"):
        train(learner(drawn_recipe, teacher), "2", tmp_path)
    assert not (tmp_path / "student").exists()


def test_a_teacher_of_other_ages(drawn_recipe: Path, tmp_path: Path, teacher: Path) -> None:
    recipe = learner(drawn_recipe, teacher, **{"model.max_age": 90})
    with pytest.raises(WrinkleError, match="ages 0 to 100, the model 0 to 90"):
        train(recipe, "1", tmp_path)
    assert not (tmp_path / "student").exists()


@pytest.mark.parametrize("overrides", [["teachers=[default]"], [LOSS]])
def test_teachers_and_their_loss_come_together(drawn_recipe: Path, overrides: list[str]) -> None:
    with pytest.raises(WrinkleError, match="teachers and the loss distillation need each other"):
        load_recipe(drawn_recipe, overrides)


def test_no_such_teacher(drawn_recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match=r"no model '.*missing.safetensors'"):
        train(learner(drawn_recipe, tmp_path / "missing.safetensors"), "1", tmp_path)
    assert not (tmp_path / "student").exists()
