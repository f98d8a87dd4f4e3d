"""The reader of finished runs: the folder of a run → `Run`."""

import csv
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.prediction_files import read_predictions
from wrinkle.evaluation.predictions import Predictions, pooled
from wrinkle.protocols import Fold, Protocol
from wrinkle.protocols.fold import limited
from wrinkle.runs.data import open_faces, protocol_of
from wrinkle.runs.folder import (
    HISTORY_FILE,
    MODEL_FILE,
    PREDICTIONS_FILE,
    RECIPE_FILE,
    RESULT_FILE,
    STATE_FILE,
    Result,
    date_of,
    read_note,
    read_result,
)
from wrinkle.runs.recipe import Recipe, load_recipe

History = list[dict[str, float | None]]
"""For each epoch: epoch, loss, validation_mae (None: not validated), images_per_second."""


@dataclass(frozen=True)
class Run:
    """A run of `wrinkle train` with at least one finished fold.

    Attributes:
        folder: of the run.
        recipe: as it was run, with overrides.
        protocol: that split its store.
        command: trains all of its folds.
        date: YYYY-MM-DD in UTC, on which training started; where it was not recorded, the date of
            the first fold's result file, marked as such.
        data: fingerprint of the pictures and labels that it was trained on.
        integrity: what training and test parts share, in one line.
        results: of the finished folds, in order.
        predictions: for the test parts of the finished folds, concatenated.
        history: fold → its epochs; empty if the file is missing.
        store: that it was tested on; None if it is missing or now holds other pictures or ages.
        folds: all folds of the protocol, with the rows that the run uses; None without a store.
    """

    folder: Path
    recipe: Recipe
    protocol: Protocol
    command: str
    date: str
    data: str
    integrity: str
    results: list[Result]
    predictions: Predictions
    history: dict[str, History]
    store: Store | None
    folds: list[Fold] | None

    @property
    def fold_count(self) -> int | None:
        """Number of folds, finished or not; None if it depends on a store that is missing."""
        if self.recipe.data.stores:
            return 1
        return len(self.folds) if self.folds else len(self.protocol.sizes) or None

    def fold(self, name: str) -> Fold | None:
        """Return the rows of a fold by its name; None without a store."""
        return next((fold for fold in self.folds or [] if fold.name == name), None)

    @property
    def model_file(self) -> Path:
        """Model file of the first finished fold."""
        return self.folder / self.results[0].fold / MODEL_FILE


def read_run(folder: Path, store: Path | None = None) -> Run:
    """Read a run.

    Args:
        folder: of the run, `runs/<recipe name>/`.
        store: file to use instead of the recipe's store; it must hold the tested faces.

    Returns:
        The run, with its finished folds.

    Raises:
        WrinkleError: the folder holds no run, no fold is finished, a file is damaged, or `store`
            lacks some of the tested faces.
    """
    if not (folder / RECIPE_FILE).is_file():
        raise WrinkleError(f"{folder} holds no run: give a folder such as runs/utkface/dhaa")
    recipe = load_recipe(folder / RECIPE_FILE)
    protocol = protocol_of(recipe.data)
    try:
        note, results = read_note(folder), _results(folder)
        if not results:
            raise WrinkleError(f"{folder}: no fold is finished yet ({_progress(folder, recipe)})")
        predictions = pooled([_predictions(folder / result.fold, result) for result in results])
        date = note.get("date") or _date_of_file(folder / results[0].fold / RESULT_FILE)
        command, data, integrity = _command(note["command"]), note["data"], note["integrity"]
        history = {r.fold: _history(folder / r.fold / HISTORY_FILE) for r in results}
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        reason = str(error).partition("\n")[0]
        raise WrinkleError(f"{folder} is damaged ({reason}): train it again") from None
    tested_on = _matching_store(store, recipe, predictions)
    if store is not None and tested_on is None:
        raise WrinkleError(
            f"{store} does not hold the faces that {folder} was tested on: give another --store, or"
            " none"
        )
    folds = None
    if tested_on is not None:
        row_of = {name: row for row, name in enumerate(tested_on.columns["name"].to_pylist())}
        rows = [row_of[name] for name in predictions.rows["name"].to_pylist()]
        predictions = replace(predictions, rows=tested_on.columns.take(rows))
        every = protocol.folds(tested_on.columns)
        folds = [limited(fold, recipe.data.limit, recipe.training.seed) for fold in every]
    return Run(
        folder,
        recipe,
        protocol,
        command,
        date,
        data,
        integrity,
        results,
        replace(predictions, system=recipe.name),
        history,
        tested_on,
        folds,
    )


def start(recipe: Recipe) -> str:
    """Describe the weights that a recipe starts from, and its teachers, in words."""
    own = {"none": "from scratch", "imagenet": "ImageNet"}.get(recipe.init, recipe.init)
    if recipe.teachers:
        own += f"; teachers {', '.join(recipe.teachers)}"
    if recipe.first is None:
        return own
    epochs = recipe.first.training.epochs
    return f"{own}; first stage {recipe.first.name} ({epochs} epochs, {start(recipe.first)})"


def _results(folder: Path) -> list[Result]:
    """Results of the finished folds, fold 2 before fold 10."""
    names = [path.parent.name for path in folder.glob(f"*/{RESULT_FILE}")]
    return [
        read_result(folder / name) for name in sorted(names, key=lambda name: (len(name), name))
    ]


def _predictions(folder: Path, result: Result) -> Predictions:
    """Predictions for the test part of one fold. Earlier versions wrote them as CSV, rounded."""
    path = folder / PREDICTIONS_FILE
    earlier = path.with_suffix(".csv")
    found = read_predictions(earlier if earlier.is_file() and not path.is_file() else path)
    expected = result.n + result.ranges
    if len(found.predicted) != expected:
        raise ValueError(f"{path} has {len(found.predicted)} pictures, {RESULT_FILE} {expected}")
    return found


def _matching_store(path: Path | None, recipe: Recipe, tested: Predictions) -> Store | None:
    """The store, if it exists and holds the tested pictures with the same ages; else None."""
    try:
        store = Store(path) if path else open_faces(recipe.data)
    except WrinkleError:
        return None
    columns = ("name", "age", "age_low", "age_high")
    held, labels = (
        set(zip(*(table[column].to_pylist() for column in columns), strict=True))
        for table in (store.columns, tested.rows)
    )
    return store if labels <= held else None


def _date_of_file(file: Path) -> str:
    return f"{date_of(file.stat().st_mtime)} (date of a file: none was recorded)"


def _command(command: str) -> str:
    """The command that trains all folds, without the path of the program."""
    program, *words = shlex.split(command)
    if program.endswith(("wrinkle", "wrinkle/__main__.py")):
        program = "wrinkle"
    if "--folds" in words:
        place = words.index("--folds")
        del words[place : place + 2]
    return shlex.join([program, *words])


def _progress(folder: Path, recipe: Recipe) -> str:
    """The progress of a run without a result, in words."""
    for file in sorted(folder.glob(f"*/{STATE_FILE}")):
        epochs = len(_history(file.with_name(HISTORY_FILE)))
        return f"fold {file.parent.name} has trained {epochs} of {recipe.training.epochs} epochs"
    return f"nothing is trained; run `wrinkle train` to continue with {recipe.name}"


def _history(file: Path) -> History:
    """The epochs of a fold; empty if none is finished or the file is missing."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        return [
            {name: float(cell) if cell else None for name, cell in row.items()}
            for row in csv.DictReader(lines)
        ]
