"""The files in the folder of a run, `runs/<recipe name>/`.

recipe.yaml       the recipe as it was run, with the command
run.json          command, fingerprint of the data, the date on which training started, and a line
                  each on what training and test share and on labels above the model's last age
integrity.csv     what training and test share, in full
results.csv, .md  the finished folds
FOLD/             one fold: model.safetensors, history.csv and tensorboard/; result.json and
                  predictions.parquet once it is finished, state.safetensors until then
"""

import json
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MODEL_FILE = "model.safetensors"
STATE_FILE = "state.safetensors"
RESULT_FILE = "result.json"
PREDICTIONS_FILE = "predictions.parquet"
HISTORY_FILE = "history.csv"
RECIPE_FILE = "recipe.yaml"
RUN_FILE = "run.json"
LEAKS_FILE = "integrity.csv"


@dataclass(frozen=True)
class Result:
    """Scores on the test part of one fold.

    Attributes:
        fold: its name.
        n: number of pictures of known age.
        mae: mean absolute error on them, years; None without any.
        cs5: share of them, in [0, 1], with an error of at most 5 years; None without any.
        validation_mae: years; None if the fold has no validation part.
        epochs: number of trained epochs.
        classifiers: name → MAE in years of each classifier, if the network has several.
        ranges: number of pictures of which only a range is known.
        inside: share of them, in [0, 1], estimated in the range; None without any.
        near: the same, in the range or the next one below or above it.
        distance: mean distance of the estimate to the range, years.
        stores: name of a store → its pictures' n, mae, cs5, ranges, inside, near and distance, if
            the run has several stores.
    """

    fold: str
    n: int
    mae: float | None
    cs5: float | None
    validation_mae: float | None
    epochs: int
    classifiers: dict[str, float] = field(default_factory=dict)
    ranges: int = 0
    inside: float | None = None
    near: float | None = None
    distance: float | None = None
    stores: dict[str, dict[str, Any]] = field(default_factory=dict)


def read_result(folder: Path) -> Result:
    """Read result.json.

    Args:
        folder: of a finished fold.
    """
    return Result(**json.loads((folder / RESULT_FILE).read_text(encoding="utf-8")))


def read_note(root: Path) -> dict[str, Any]:
    """Read run.json.

    Args:
        root: folder of a run.

    Returns:
        "command", "data" (fingerprint of the store), "integrity", "labels" and, if it was recorded,
        "date" (YYYY-MM-DD, UTC).
    """
    note: dict[str, Any] = json.loads((root / RUN_FILE).read_text(encoding="utf-8"))
    return {"integrity": "People and pictures in training and test were not compared.", **note}


def today() -> str:
    """Return the date in UTC, as YYYY-MM-DD.

    The environment variable SOURCE_DATE_EPOCH (seconds since 1970) sets it, for files that must be
    the same on every day.
    """
    return date_of(float(os.environ.get("SOURCE_DATE_EPOCH") or time.time()))


def date_of(seconds: float) -> str:
    """Return the date in UTC of a time in seconds since 1970, as YYYY-MM-DD."""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
