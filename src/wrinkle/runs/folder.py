"""What lies in `runs/<recipe name>/`, for whoever reads it: training itself, tables, reports.

recipe.yaml      the recipe as it was run, with the command
run.json         command, fingerprint of the data, integrity in a line
integrity.csv    what training and test share
results.csv, .md the folds that are done
FOLD/            a fold: model.safetensors, history.csv, tensorboard/, and when it is done
                 result.json and predictions.csv; until then state.safetensors
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MODEL_FILE = "model.safetensors"
STATE_FILE = "state.safetensors"
RESULT_FILE = "result.json"
PREDICTIONS_FILE = "predictions.csv"
HISTORY_FILE = "history.csv"
RECIPE_FILE = "recipe.yaml"
RUN_FILE = "run.json"
LEAKS_FILE = "integrity.csv"


@dataclass(frozen=True)
class Result:
    """One fold's test part: pictures, mean absolute error in years, share [0, 1] within 5 years.

    classifiers: the MAE of each of the model's classifiers, where it has several.
    """

    fold: str
    n: int
    mae: float
    cs5: float
    validation_mae: float | None
    epochs: int
    classifiers: dict[str, float] = field(default_factory=dict)


def read_result(folder: Path) -> Result:
    """The result of a fold that is done."""
    return Result(**json.loads((folder / RESULT_FILE).read_text(encoding="utf-8")))


def read_note(root: Path) -> dict[str, Any]:
    """What a run's folder says of the run: command, data, integrity."""
    note: dict[str, Any] = json.loads((root / RUN_FILE).read_text(encoding="utf-8"))
    return {"integrity": "People and pictures in training and test were not looked for.", **note}
