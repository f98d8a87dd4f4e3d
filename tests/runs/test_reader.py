import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.runs.hand_made import FOLDS, predictions_of, write_run
from wrinkle.datasets.store import SCHEMA, Store, write_table
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.prediction_files import write_predictions
from wrinkle.runs.reader import Run, read_run, start
from wrinkle.runs.recipe import load_recipe

NAMES = [f"{number:04}.jpg" for number in range(5)]


def test_only_finished_folds_are_read(tmp_path: Path, drawn_store: Path) -> None:
    folder = write_run(tmp_path, drawn_store, data="fingerprint")
    (folder / "1" / "history.csv").write_text("epoch,loss,validation_mae\n1,4.5,\n2,4,8.5\n")
    run = read_run(folder)
    assert (run.folder, run.recipe.name, run.protocol.name) == (folder, "drawn", "random:4:0")
    assert (run.data, run.fold_count) == ("fingerprint", 4)
    assert [(result.fold, result.n, result.mae) for result in run.results] == [
        *(("1", 2, 2), ("2", 3, 6)),
    ]
    assert run.predictions.system == "drawn"
    assert run.predictions.rows["name"].to_pylist() == NAMES
    assert run.predictions.rows["person"].to_pylist() == [f"p{n}" for n in range(5)]
    assert run.predictions.predicted.tolist() == [4, 37, 64, 36, 69]
    assert run.history["1"] == [
        {"epoch": 1, "loss": 4.5, "validation_mae": None},
        {"epoch": 2, "loss": 4, "validation_mae": 8.5},
    ]
    assert run.history["2"] == []
    assert run.store is not None
    fold = run.fold("2")
    assert fold is not None
    assert len(fold.test) == 64
    assert run.fold("9") is None


def test_a_reduced_run_takes_fewer_rows(tmp_path: Path, drawn_store: Path) -> None:
    fold = read_run(write_run(tmp_path, drawn_store, data__limit=10)).fold("1")
    assert fold is not None
    assert [len(part) for part in (fold.train, fold.validation, fold.test)] == [10, 10, 10]


def other_ages(store: Path, path: Path) -> Path:
    table = pa.ipc.open_file(str(store)).read_all()
    place = table.column_names.index("age")
    older = pc.add(table["age"], pa.scalar(1e-5, "f4"))
    older = table.set_column(place, SCHEMA.field("age"), older)
    write_table(path, older, Store(store).info)
    return path


@pytest.mark.parametrize("missing", ["gone", "other ages"])
def test_without_the_store_names_and_ages_are_read(
    tmp_path: Path, drawn_store: Path, missing: str
) -> None:
    """Ages are compared exactly: one that differs in its last digits is another label."""
    store = tmp_path / "store.arrow"
    if missing == "other ages":
        other_ages(drawn_store, store)
    folder = write_run(tmp_path, store)
    run = read_run(folder)
    assert (run.store, run.folds) == (None, None)
    assert run.fold_count is None  # only the store can tell for random:4
    assert run.predictions.rows["name"].to_pylist() == NAMES
    assert run.predictions.actual.tolist() == [0, 37, 74, 30, 67]
    assert run.predictions.rows["person"].to_pylist() == [None] * 5
    assert read_run(folder, drawn_store).store is not None


def test_a_protocol_with_fixed_folds_needs_no_store(tmp_path: Path) -> None:
    folds = {"010": FOLDS["1"], "002": FOLDS["2"]}
    run = read_run(write_run(tmp_path, tmp_path / "gone", folds, data__protocol="fgnet-lopo"))
    assert [result.fold for result in run.results] == ["002", "010"]
    assert run.fold_count == 82


def test_a_picture_tested_by_several_folds_occurs_several_times(tmp_path: Path) -> None:
    twice = {"1": [("a", 20, 24)], "2": [("a", 20, 26)]}
    run = read_run(write_run(tmp_path, tmp_path / "gone", twice))
    assert run.predictions.rows["name"].to_pylist() == ["a", "a"]
    assert run.predictions.predicted.tolist() == [24, 26]


def test_predictions_of_earlier_versions_are_read(tmp_path: Path, drawn_store: Path) -> None:
    folder = write_run(tmp_path, drawn_store)
    expected = read_run(folder)
    for fold in FOLDS:
        path = folder / fold / "predictions.csv"
        write_predictions(path, predictions_of(FOLDS[fold]))
        path.with_suffix(".parquet").unlink()
    run = read_run(folder)
    assert run.store is not None
    np.testing.assert_array_equal(run.predictions.predicted, expected.predictions.predicted)
    assert run.predictions.rows.equals(expected.predictions.rows)


def test_folders_without_a_finished_fold_are_one_line(tmp_path: Path, drawn_store: Path) -> None:
    with pytest.raises(WrinkleError, match="holds no run"):
        read_run(tmp_path)
    begun = write_run(tmp_path, drawn_store, {}, name="begun")
    with pytest.raises(WrinkleError, match=r"begun: .*nothing is trained"):
        read_run(begun)
    (begun / "1").mkdir()
    (begun / "1" / "state.safetensors").touch()
    (begun / "1" / "history.csv").write_text("epoch,loss\n1,4.5\n2,4\n")
    with pytest.raises(WrinkleError, match=r"fold 1 has trained 2 of 3 epochs"):
        read_run(begun)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("1/result.json", "{"),
        ("1/result.json", "{}"),
        ("1/result.json", json.dumps({"fold": "1", "mae": 1, "cs": 2})),
        ("1/predictions.parquet", "text"),
        ("1/history.csv", "epoch,loss\n1,high\n"),
        ("run.json", "{}"),
        ("run.json", "{"),
        ("recipe.yaml", "model: ["),
    ],
)
def test_damage_is_one_line(tmp_path: Path, drawn_store: Path, file: str, content: str) -> None:
    folder = write_run(tmp_path, drawn_store)
    (folder / file).write_text(content)
    with pytest.raises(WrinkleError, match=r"drawn[^\n]*(damaged|not YAML)[^\n]*$"):
        read_run(folder)
    (folder / file).unlink()
    if file not in ("1/result.json", "1/history.csv"):
        with pytest.raises(WrinkleError, match=r"drawn"):
            read_run(folder)


def test_predictions_that_contradict_the_result_are_refused(
    tmp_path: Path, drawn_store: Path
) -> None:
    folder = write_run(tmp_path, drawn_store)
    shutil.copy(folder / "2" / "predictions.parquet", folder / "1")
    with pytest.raises(WrinkleError, match=r"damaged \(.* 3 pictures, result.json 2\)"):
        read_run(folder)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/usr/bin/wrinkle train r.yaml --folds 1-41 a=b", "wrinkle train r.yaml a=b"),
        ("/x/src/wrinkle/__main__.py train r.yaml", "wrinkle train r.yaml"),
        ("study.py 3", "study.py 3"),
    ],
)
def test_the_command_that_trains_all_folds(
    tmp_path: Path, drawn_store: Path, command: str, expected: str
) -> None:
    folder = write_run(tmp_path, drawn_store)
    (folder / "run.json").write_text(json.dumps({"command": command, "data": ""}))
    run: Run = read_run(folder)
    assert run.command == expected


def test_initial_weights_are_named() -> None:
    recipes = Path(__file__).resolve().parents[2] / "recipes"
    recipe = load_recipe(recipes / "adpf.yaml")
    assert recipe.first is not None
    assert start(recipe.first.model_copy(update={"init": "imagenet"})) == "ImageNet"
    assert start(recipe) == (
        "runs/res18_ex/utkface-full-size_128/utkface/model.safetensors; "
        "first stage adpf_attention/utkface-full "
        f"({recipe.first.training.epochs} epochs, {start(recipe.first)})"
    )
    taught = recipe.first.model_copy(update={"teachers": ("default", "a.safetensors")})
    assert start(taught) == "from scratch; teachers default, a.safetensors"


def test_the_date_is_the_recorded_one_else_that_of_a_file(tmp_path: Path) -> None:
    folder = write_run(tmp_path, tmp_path / "gone.arrow")
    os.utime(folder / "1" / "result.json", (1_700_000_000, 1_700_000_000))
    assert read_run(folder).date.startswith("2023-11-14 (")
    note = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(note | {"date": "2022-02-03"}))
    assert read_run(folder).date == "2022-02-03"


def test_another_store_than_the_tested_one_is_refused(tmp_path: Path, drawn_store: Path) -> None:
    folder, other = write_run(tmp_path, drawn_store), tmp_path / "other.arrow"
    other_ages(drawn_store, other)
    with pytest.raises(WrinkleError, match="does not hold the faces that"):
        read_run(folder, other)
