import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from tests import tiny
from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.metrics import mean_absolute_error
from wrinkle.evaluation.prediction_files import read_predictions
from wrinkle.inference.conformal import Calibration
from wrinkle.inference.provenance import learned
from wrinkle.models.file import load_model
from wrinkle.protocols import Fold, get_protocol
from wrinkle.protocols.fold import limited
from wrinkle.runs.folder import Result, read_note
from wrinkle.runs.recipe import load_recipe
from wrinkle.training.folds import format_folds, parse_folds, train, train_fold
from wrinkle.training.results_table import format_table


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_fold_numbers() -> None:
    assert parse_folds(None, 3) == [0, 1, 2]
    assert parse_folds("3", 3) == [2]
    assert parse_folds("1,4-6", 10) == [0, 3, 4, 5]
    assert parse_folds("5-6, 1 ,6", 10) == [0, 4, 5]


@pytest.mark.parametrize("numbers", [[0], [0, 1, 2], [0, 4, 5, 9], [1, 3, 5]])
def test_folds_written_are_those_read(numbers: list[int]) -> None:
    assert parse_folds(format_folds(numbers), 10) == numbers


@pytest.mark.parametrize("text", ["", "0", "4", "1-4", "3-1", "a", "1-", "-2", "1,,2", "1-2-3"])
def test_wrong_fold_numbers(text: str) -> None:
    with pytest.raises(WrinkleError, match=f"^folds '{text}': "):
        parse_folds(text, 3)


def test_the_table_by_hand() -> None:
    results = [Result("1", 10, 4.0, 0.5, 4.5, 3), Result("2", 30, 2.0, 0.9, None, 3)]
    lines = format_table(results, 5).splitlines()
    assert lines[2:4] == ["| 1 | 10 | 4.000 | 50.0 |", "| 2 | 30 | 2.000 | 90.0 |"]
    # √2 = 1.414 is the sample deviation of 4 and 2.
    mean = "| mean ± deviation of 2 of 5 folds | 20.0 | 3.000 ± 1.414 | 70.0 ± 28.3 |"
    assert lines[4:] == [mean, "| all pictures | 40 | 2.500 | 80.0 |"]


def test_any_subset_and_one_table(drawn_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(drawn_recipe, ["training.epochs=1"])
    (third,) = train(recipe, "3", tmp_path)
    folder = tmp_path / "drawn"
    assert (folder / "results.csv").read_text().splitlines()[1].startswith("3,64,")
    first, again = train(recipe, "1,3", tmp_path)
    assert again == third
    assert (first.fold, first.n) == ("1", 64)
    table = (folder / "results.md").read_text()
    assert "mean ± deviation of 2 of 4 folds" in table

    store = Store(recipe.data.store)
    tested = read_predictions(folder / "3" / "predictions.parquet")
    ages = dict(zip(store.columns["name"].to_pylist(), store.ages, strict=True))
    names = tested.rows["name"].to_pylist()
    assert len(names) == 64
    assert tested.actual.tolist() == [ages[name] for name in names]
    assert mean_absolute_error(tested.predicted, tested.actual) == third.mae
    assert tested.distribution is not None
    assert tested.ages is not None
    mean = tested.distribution.astype(np.float64) @ tested.ages
    np.testing.assert_allclose(mean, tested.predicted, rtol=1e-5)

    _, header = load_model(folder / "3" / "model.safetensors")
    calibration = Calibration.from_header(header)
    assert calibration is not None
    assert (calibration.faces, calibration.data) == (64, "validation part of random:4, fold 3")
    assert tested.interval is not None
    low, high = tested.interval.T
    inside = (low <= tested.actual) & (tested.actual <= high)
    assert 0.75 < np.mean(inside) <= 1


def test_no_network_of_an_earlier_fold_is_kept(drawn_recipe: Path, tmp_path: Path) -> None:
    """Of 82 folds a large network would otherwise fill the memory."""
    accelerator, recipe = Accelerator(cpu=True), load_recipe(drawn_recipe, ["training.epochs=1"])
    store = Store(recipe.data.store)
    before = count_networks()  # of other tests
    for fold in get_protocol("random:4").folds(store.columns)[:2]:
        train_fold(recipe, store, fold, tmp_path / fold.name, accelerator)
        assert count_networks() <= before


def count_networks() -> int:
    gc.collect()
    return sum(type(each) is tiny.Tiny for each in gc.get_objects())


def test_a_folder_of_another_recipe(drawn_recipe: Path, tmp_path: Path, drawn_store: Path) -> None:
    train(load_recipe(drawn_recipe, ["training.epochs=1"]), "1", tmp_path)
    with pytest.raises(WrinkleError) as error:
        train(load_recipe(drawn_recipe, ["training.epochs=2", "model.max_age=90"]), "1", tmp_path)
    line = str(error.value)
    assert "model.max_age is None there, 90 here; training.epochs is 1 there, 2 here" in line
    assert "name=" in line
    assert "\n" not in line
    # How many workers and checkpoints make no other recipe of it.
    inert = ["training.workers=1", "training.checkpoint_every_steps=7"]
    train(load_recipe(drawn_recipe, ["training.epochs=1", *inert]), "1", tmp_path)


def test_a_folder_of_other_data(drawn_recipe: Path, tmp_path: Path) -> None:
    store = tiny.write_store(tmp_path / "s.arrow", 64)
    recipe = load_recipe(drawn_recipe, [f"data.store={store}", "training.epochs=1"])
    train(recipe, "1", tmp_path)
    tiny.write_store(store, 60)
    with pytest.raises(WrinkleError, match="holds other pictures or labels"):
        train(recipe, "1", tmp_path)


def test_best_needs_a_validation_part(
    drawn_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = Fold("only", np.arange(64), np.arange(0), np.arange(64, 96))
    protocol = replace(get_protocol("random:4"), folds=lambda table: [fold])
    monkeypatch.setattr("wrinkle.training.folds.protocol_of", lambda data: protocol)
    with pytest.raises(WrinkleError, match=r"choose is 'best'.*no validation part.*'last'"):
        train(load_recipe(drawn_recipe), None, tmp_path)
    overrides = ["training.choose=last", "training.epochs=1", "name=last"]
    (result,) = train(load_recipe(drawn_recipe, overrides), None, tmp_path)
    assert result.validation_mae is None


def test_starts_from_a_trained_model(drawn_recipe: Path, tmp_path: Path) -> None:
    (first,) = train(load_recipe(drawn_recipe, ["training.epochs=10", "name=a"]), "1", tmp_path)
    start = tmp_path / "a" / "1" / "model.safetensors"
    overrides = [f"init={start}", "training.epochs=1", "optimizer.lr=1e-6", "name=b"]
    (second,) = train(load_recipe(drawn_recipe, overrides), "1", tmp_path)
    assert second.mae == pytest.approx(first.mae, abs=0.1)


def test_a_start_that_has_seen_the_test_pictures(drawn_recipe: Path, tmp_path: Path) -> None:
    train(load_recipe(drawn_recipe, ["training.epochs=1", "name=a"]), "1", tmp_path)
    recipe = load_recipe(drawn_recipe, [f"init={tmp_path / 'a/1/model.safetensors'}", "name=b"])
    with pytest.raises(WrinkleError, match=r"was trained on 64 of the 64 test pictures of fold 2"):
        train(recipe, "1-2", tmp_path)
    assert not (tmp_path / "b").exists()


def test_what_a_model_has_learned_from(drawn_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(drawn_recipe, ["training.epochs=1", "data.limit=20"])
    train(recipe, "1", tmp_path)
    provenance = load_model(tmp_path / "drawn" / "1" / "model.safetensors")[1]["provenance"]
    store = Store(recipe.data.store)
    fold = limited(get_protocol("random:4").folds(store.columns)[0], 20, 0)
    both = np.union1d(fold.train, fold.validation)
    assert learned(provenance, store).tolist() == both.tolist()
    assert learned(provenance, store, ["train"]).tolist() == fold.train.tolist()
    # Also those of the same pictures that another store has.
    other = Store(tiny.write_store(tmp_path / "other.arrow", 200))
    seen = {*store.columns["digest"].take(both).to_pylist()}
    digests = other.columns["digest"].to_pylist()
    again = [row for row, digest in enumerate(digests) if digest in seen]
    assert learned(provenance, other).tolist() == again
    dated = ("digests", "fingerprint")
    older = {name: value for name, value in provenance.items() if name not in dated}
    assert len(learned(older, store)) == 40
    assert len(learned(older | {"data": "folder"}, store)) == 0


def test_what_both_sides_share_is_listed_once(
    drawn_recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The drawn store's 16 people lie on both sides of random:4, which is known for it."""
    recipe = load_recipe(drawn_recipe, ["training.epochs=1"])
    train(recipe, "1", tmp_path)
    line = (tmp_path / "drawn" / "results.md").read_text().splitlines()[-1]
    assert line.startswith("People: shared (some both train and test). Both in training and test: ")
    assert line in capsys.readouterr().err
    rows = (tmp_path / "drawn" / "integrity.csv").read_text().splitlines()
    assert sum(",person," in row for row in rows) > 40
    # A run that an older version began is looked at when it goes on.
    (tmp_path / "drawn" / "integrity.csv").unlink()
    train(recipe, "1", tmp_path)
    assert (tmp_path / "drawn" / "integrity.csv").read_text().splitlines() == rows
    monkeypatch.setattr("wrinkle.training.integrity.find_leaks", None)
    train(recipe, "2", tmp_path)
    assert (tmp_path / "drawn" / "results.md").read_text().splitlines()[-1] == line


def test_shared_people_where_nobody_expects_them(
    drawn_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = replace(get_protocol("random:4"), shares_people=None)
    monkeypatch.setattr("wrinkle.training.folds.protocol_of", lambda data: protocol)
    with pytest.raises(
        WrinkleError, match=r"has \d+ (person|people) in both training and test, such as p"
    ):
        train(load_recipe(drawn_recipe), "1", tmp_path)
    assert not (tmp_path / "drawn").exists()


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("data.store=nowhere.arrow", "no store at nowhere.arrow"),
        ("data.protocol=utkfac", "unknown protocol 'utkfac'"),
        ("model.name=tyny", "did you mean 'tiny'"),
        ("model.dropot=0.1", "did you mean 'dropout'"),
        ("loss.dldl_v2.sigm=2", "no field 'sigm'"),
        ("init=nowhere.pth", "nowhere.pth: no such file"),
        ("input.size=48 ", "SIZE"),
    ],
)
def test_what_the_schema_cannot_know_is_one_line(
    drawn_recipe: Path, tmp_path: Path, override: str, line: str
) -> None:
    if line == "SIZE":
        train(load_recipe(drawn_recipe, [override, "training.epochs=1"]), "1", tmp_path)
        return
    with pytest.raises(WrinkleError, match=line) as error:
        train(load_recipe(drawn_recipe, [override]), "1", tmp_path)
    assert "\n" not in str(error.value)


def test_labels_above_the_last_age(
    drawn_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = load_recipe(drawn_recipe, ["training.epochs=1"])
    store = Store(recipe.data.store)
    last = int(sorted(store.ages)[-5])
    fold = get_protocol("random:4").folds(store.columns)[0]
    old = [int((store.ages[part] > last).sum()) for part in (fold.train, fold.validation)]
    changes = ["training.epochs=1", f"model.max_age={last}", "name=old"]
    train(load_recipe(drawn_recipe, changes), "1", tmp_path)
    said = [line for line in capsys.readouterr().err.splitlines() if "last age" in line]
    assert len(said) == 1
    assert f"Labels above {last} years" in said[0]
    assert f"With model.max_age={int(np.ceil(store.ages.max()))} it can." in said[0]
    assert "in training" in (tmp_path / "old" / "results.md").read_text()
    assert sum(old) <= 4
    train(recipe, "1", tmp_path)
    assert "last age" not in capsys.readouterr().err


def test_the_dates_of_training_are_recorded(
    drawn_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has the date on which it started, each model that on which it was trained."""
    recipe = load_recipe(drawn_recipe, ["training.epochs=1"])
    for fold, time in (("1", "1600000000"), ("2", "1700000000")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", time)
        train(recipe, fold, tmp_path)
    assert read_note(tmp_path / "drawn")["date"] == "2020-09-13"
    files = [tmp_path / "drawn" / fold / "model.safetensors" for fold in "12"]
    dates = [load_model(file)[1]["provenance"]["date"] for file in files]
    assert dates == ["2020-09-13", "2023-11-14"]
