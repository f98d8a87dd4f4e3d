"""Folders of runs made by hand, for scores that can be computed on paper."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests import tiny
from wrinkle.evaluation.prediction_files import write_predictions
from wrinkle.evaluation.predictions import Predictions, unlabelled
from wrinkle.runs.recipe import load_recipe

Tested = Mapping[str, Sequence[tuple[str, float, float]]]
"""Fold → (name, age, predicted) of every test picture."""
FOLDS: Tested = {
    "1": [("0000.jpg", 0, 4), ("0001.jpg", 37, 37)],
    "2": [("0002.jpg", 74, 64), ("0003.jpg", 30, 36), ("0004.jpg", 67, 69)],
}
"""For drawn faces. Errors 4, 0 and 10, 6, 2: MAE 2 and 6, CS(5) 1 and 1/3."""


def write_run(
    runs: Path, store: Path, folds: Tested = FOLDS, *, data: str = "", **fields: object
) -> Path:
    """runs/<name>/ with a recipe of drawn faces and its folds; fields: section__field=value."""
    overrides = [f"{field.replace('__', '.')}={value}" for field, value in fields.items()]
    runs.mkdir(exist_ok=True)
    recipe = load_recipe(tiny.write_recipe(runs, store), overrides)
    folder = runs / recipe.name
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(f"# by hand\n{recipe.to_yaml()}")
    (folder / "run.json").write_text(json.dumps({"command": "by hand", "data": data}))
    for fold, rows in folds.items():
        errors = [abs(predicted - age) for _, age, predicted in rows]
        result = {
            "fold": fold,
            "n": len(rows),
            "mae": sum(errors) / len(rows),
            "cs5": sum(error <= 5 for error in errors) / len(rows),
            "validation_mae": None,
            "epochs": 3,
        }
        (folder / fold).mkdir()
        (folder / fold / "result.json").write_text(json.dumps(result))
        write_predictions(folder / fold / "predictions.parquet", predictions_of(rows))
    return folder


def predictions_of(rows: Sequence[tuple[str, float, float]]) -> Predictions:
    names, ages, predicted = zip(*rows, strict=True)
    return Predictions("by hand", unlabelled(names, ages), np.array(predicted, np.float64))
