from pathlib import Path

import pytest
import torch

from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.models.file import load_model
from wrinkle.protocols import get_protocol
from wrinkle.runs.recipe import Recipe, load_recipe
from wrinkle.training.folds import train
from wrinkle.training.starts import fold_recipes


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def by_person(recipe: Path, folds: int, *overrides: str) -> Recipe:
    fields = [f"data.protocol=by-person:{folds}", "training.epochs=1", *overrides]
    return load_recipe(recipe, fields)


def folds_of(recipe: Recipe) -> tuple[Store, list]:
    store = Store(recipe.data.store)
    return store, get_protocol(recipe.data.protocol).folds(store.columns)


def test_each_fold_starts_from_the_model_that_does_not_know_its_people(
    drawn_recipe: Path, tmp_path: Path
) -> None:
    train(by_person(drawn_recipe, 4, "name=four"), None, tmp_path)
    one_out = by_person(drawn_recipe, 16, f"init={tmp_path / 'four'}", "name=one_out")
    store, folds = folds_of(one_out)
    person = store.columns["person"].to_pylist()
    tested = {
        person[row]: fold.name
        for fold in get_protocol("by-person:4").folds(store.columns)
        for row in fold.test
    }
    starts = [recipe.init for recipe in fold_recipes(one_out, store, folds)]
    assert starts == [
        str(tmp_path / "four" / tested[person[fold.test[0]]] / "model.safetensors")
        for fold in folds
    ]
    assert len({*starts}) == 4

    # At such a rate the model stays as it was; what it started from is in its file.
    train(by_person(drawn_recipe, 16, f"init={one_out.init}", "optimizer.lr=1e-9"), "3", tmp_path)
    model, header = load_model(tmp_path / "drawn" / "3" / "model.safetensors")
    assert header["provenance"]["start"] == starts[2]
    start = load_model(starts[2])[0].conv.weight
    torch.testing.assert_close(model.conv.weight, start, atol=1e-6, rtol=0)


def test_a_run_in_which_no_model_is_without_the_people(drawn_recipe: Path, tmp_path: Path) -> None:
    train(by_person(drawn_recipe, 4, "name=four"), "1-2", tmp_path)
    one_out = by_person(drawn_recipe, 16, f"init={tmp_path / 'four'}")
    with pytest.raises(WrinkleError) as error:
        train(one_out, None, tmp_path)
    line = str(error.value)
    assert "no model of its 2 finished folds is without the people and pictures of fold" in line
    assert "\n" not in line
    assert not (tmp_path / "drawn").exists()
    # Pictures of all people are in every training part of random:4.
    train(load_recipe(drawn_recipe, ["training.epochs=1", "name=random"]), None, tmp_path)
    one_out = by_person(drawn_recipe, 16, f"init={tmp_path / 'random'}")
    with pytest.raises(WrinkleError, match="no model of its 4 finished folds"):
        train(one_out, None, tmp_path)
    (tmp_path / "empty").mkdir()
    one_out = by_person(drawn_recipe, 16, f"init={tmp_path / 'empty'}")
    with pytest.raises(WrinkleError, match="empty holds no run with a finished fold"):
        train(one_out, None, tmp_path)


def test_teachers_can_be_a_run_by_person(drawn_recipe: Path, tmp_path: Path) -> None:
    train(by_person(drawn_recipe, 4, "name=four"), None, tmp_path)
    losses = "loss=[{name: dldl_v2}, {name: distillation}]"
    run = tmp_path / "four"
    taught = by_person(drawn_recipe, 4, losses, f"teachers=[{run}]", "name=taught")
    store, folds = folds_of(taught)
    for fold, recipe in zip(folds, fold_recipes(taught, store, folds), strict=True):
        assert recipe.teachers == (str(run / fold.name / "model.safetensors"),)
    train(taught, "2", tmp_path)
    _, header = load_model(tmp_path / "taught" / "2" / "model.safetensors")
    assert f"- {run / '2' / 'model.safetensors'}" in header["provenance"]["recipe"]
