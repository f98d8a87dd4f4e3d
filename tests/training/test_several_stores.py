"""Training on two stores, one of known ages and one of ranges."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.runs.test_data import folder, several
from wrinkle.evaluation.prediction_files import read_predictions
from wrinkle.report.run_scores import score_run
from wrinkle.report.table import tables
from wrinkle.report.table_formats import latex, markdown, to_csv
from wrinkle.runs.folder import Result, read_result
from wrinkle.runs.reader import read_run
from wrinkle.runs.recipe import Recipe
from wrinkle.training import loop
from wrinkle.training.folds import train
from wrinkle.training.results_table import format_stores, format_table
from wrinkle.training.stop import Stopped

__all__ = ["folder"]


@pytest.fixture(scope="module")
def recipe(folder: Path) -> Recipe:
    torch.set_num_threads(1)
    return several(folder, {"per_person": 2, "weight": 2})


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    train(recipe, None, runs, "the command")
    return runs / recipe.name


def test_the_scores_are_of_each_kind_of_label_and_store(run: Path, recipe: Recipe) -> None:
    result = read_result(run / "one+two")
    assert (result.n, result.ranges) == (12, 20)
    found = read_predictions(run / "one+two" / "predictions.parquet")
    exact, ranged = found.exact(), found.ranged()
    assert result.mae == pytest.approx(np.abs(exact.predicted - exact.actual).mean())
    low, high = ranged.ranges.T
    away = np.maximum(np.maximum(low - ranged.predicted, ranged.predicted - high), 0)
    assert result.distance == pytest.approx(away.mean())
    assert result.inside == pytest.approx((away < 0.5).mean(), abs=0.051)
    assert set(result.stores) == {"one", "two"}
    assert result.stores["one"]["mae"] == result.mae
    assert result.stores["two"]["near"] == result.near >= result.inside
    text = (run / "results.md").read_text()
    assert f"| one | 12 | {result.mae:.3f} |" in text
    assert f"| two | 0 | – | – | 20 | {100 * result.inside:.1f} |" in text


def test_the_run_is_read_with_its_stores(run: Path) -> None:
    read = read_run(run)
    assert read.fold_count == 1
    assert read.store is not None
    everything, *parts = score_run(read)
    assert [(part.store, part.pictures) for part in parts] == [("two", 20), ("one", 12)]
    assert everything.mae == parts[1].mae
    assert parts[0].mae is None
    assert everything.ranges == parts[0].ranges
    found = tables([read])
    for text in (markdown(found), latex(found), to_csv(found)):
        assert "two" in text
    assert "± 1 group %" in markdown(found)


def test_integrity_is_between_the_stores(run: Path) -> None:
    """The pictures of two.arrow are those of one.arrow and more."""
    lines = (run / "integrity.csv").read_text().splitlines()
    pairs = [line.split(",")[2:4] for line in lines if ",file," in line]
    stores = {(test.partition("/")[0], other.partition("/")[0]) for test, other in pairs}
    assert {("one", "two"), ("two", "one")} <= stores
    assert "identical file" in json.loads((run / "run.json").read_text())["integrity"]


def test_a_stopped_run_ends_with_the_same_bits(
    run: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, whole = [], loop.Trainer._step

    def stopping(self: loop.Trainer, *arguments: object) -> object:
        steps.append(1)
        if len(steps) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(self, *arguments)

    monkeypatch.setattr(loop.Trainer, "_step", stopping)
    with pytest.raises(Stopped):
        train(recipe, None, tmp_path, "the command")
    train(recipe, None, tmp_path, "the command")
    name = Path("one+two", "model.safetensors")
    assert (run / name).read_bytes() == (tmp_path / recipe.name / name).read_bytes()
    assert read_result(run / "one+two") == read_result(tmp_path / recipe.name / "one+two")


def test_tables_by_hand() -> None:
    exact = Result("1", 2, 3.0, 0.5, None, 1)
    mixed = Result(
        *("2", 4, 6.0, 1.0, None, 1),
        ranges=10,
        inside=0.4,
        near=0.9,
        distance=1.5,
        stores={"a": {"n": 4, "mae": 6.0, "cs5": 1.0, "ranges": 0}},
    )
    ranged = Result("3", 0, None, None, None, 1, ranges=30, inside=0.8, near=1.0, distance=0.5)
    first, second = format_table([exact, mixed, ranged], 3).split("\n\n")
    assert first.splitlines()[2:] == [
        "| 1 | 2 | 3.000 | 50.0 |",
        "| 2 | 4 | 6.000 | 100.0 |",
        "| mean ± deviation of 2 of 3 folds | 3.0 | 4.500 ± 2.121 | 75.0 ± 35.4 |",
        "| all pictures | 6 | 5.000 | 83.3 |",
    ]
    assert second.splitlines() == [
        "| fold | with a range | in range % | ± 1 group % | distance |",
        "|---|---:|---:|---:|---:|",
        "| 2 | 10 | 40.0 | 90.0 | 1.500 |",
        "| 3 | 30 | 80.0 | 100.0 | 0.500 |",
        "| mean ± deviation of 2 of 3 folds | 20.0 | 60.0 ± 28.3 | 95.0 ± 7.1 | 1.000 ± 0.707 |",
        "| all pictures | 40 | 70.0 | 97.5 | 0.750 |",
    ]
    assert format_stores([exact]) == ""
    assert format_stores([mixed]).splitlines()[1:] == [
        "| store | pictures | MAE | CS(5) % |",
        "|---|---:|---:|---:|",
        "| a | 4 | 6.000 | 100.0 |",
    ]
