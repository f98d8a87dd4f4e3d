"""What a report compares: runs of ours, and anybody's predictions in a CSV file."""

import csv
import posixpath
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.predictions import Predictions, read_predictions
from wrinkle.faces.input import InputSpec
from wrinkle.models.base import AgeModel
from wrinkle.models.file import load_model
from wrinkle.protocols import Fold, get_protocol
from wrinkle.protocols.fold import limited
from wrinkle.runs.folder import (
    HISTORY_FILE,
    MODEL_FILE,
    PREDICTIONS_FILE,
    RECIPE_FILE,
    STATE_FILE,
    Result,
    read_note,
)
from wrinkle.runs.reader import predictions_of, results_of, store_of, unlabelled
from wrinkle.runs.recipe import Recipe, load_recipe


@dataclass(frozen=True)
class Run:
    """A run's folder, as far as it is done.

    results: of the folds that are done. folds: all of the protocol's, with the rows that the run
    takes of them; None without a store. history: fold → the numbers of each epoch, as far as they
    are kept. store: None where the file is not at hand, or holds other pictures or ages now. model,
    header: of the first fold that is done.
    """

    root: Path
    recipe: Recipe
    command: str
    integrity: str
    results: list[Result]
    folds: list[Fold] | None
    history: dict[str, list[dict[str, float | None]]]
    store: Store | None
    model: AgeModel
    header: dict[str, Any]
    spec: InputSpec

    def fold(self, name: str) -> Fold | None:
        return next((fold for fold in self.folds or [] if fold.name == name), None)


@dataclass(frozen=True)
class System:
    """A name, its predictions over all folds that are done, and the run they come from, if any.

    place: where it was read.
    """

    name: str
    predictions: Predictions
    run: Run | None
    place: str


def read_system(place: str | Path, store: Path | None = None, faces: Store | None = None) -> System:
    """A run's folder, or a CSV file of predictions for `faces`.

    store: takes the place of the one that the run's recipe names. WrinkleError, one line, for
    whatever is neither, is not done in any fold, is damaged, or does not fit the store.
    """
    path = Path(place)
    if path.suffix == ".csv":
        if faces is None:
            raise WrinkleError(f"{path}: whose faces are these? Name a run first, or --store FILE")
        predictions = read_predictions(path, faces.columns)
        return System(predictions.system, predictions, None, str(place))
    try:
        return read_run(path, store)
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise WrinkleError(f"{path} is damaged ({reason}): train it again") from None


def renamed(systems: Sequence[System]) -> list[System]:
    """The same systems without the folders that the names of all runs begin with; where names are
    then the same, by their places."""
    folders = [posixpath.dirname(system.name) for system in systems if system.run]
    common = f"{posixpath.commonpath(folders)}/" if len(folders) > 1 else ""
    names = [s.name.removeprefix(common) if s.run else s.name for s in systems]
    if len(set(names)) < len(names):
        names = [system.place for system in systems]
    return [replace(s, name=name) for s, name in zip(systems, names, strict=True)]


def read_run(root: Path, store: Path | None) -> System:
    """The folds of `runs/<recipe name>/` that are done."""
    if not (root / RECIPE_FILE).is_file():
        raise WrinkleError(f"{root} is no run: give a folder such as runs/dhaa/utkface-small")
    recipe = load_recipe(root / RECIPE_FILE)
    note, results = read_note(root), results_of(root)
    if not results:
        raise WrinkleError(f"{root}: no fold is done yet ({standing(root, recipe)})")
    files = [root / result.fold / PREDICTIONS_FILE for result in results]
    names, numbers = predictions_of(root, results)
    ages = dict(zip(names, numbers[:, 0].tolist(), strict=True))
    found = store_of(store or recipe.data.store, ages)
    folds = None
    if found is not None:
        whole = get_protocol(recipe.data.protocol).folds(found.columns)
        folds = [limited(fold, recipe.data.limit, recipe.training.seed) for fold in whole]
    model, header = load_model(root / results[0].fold / MODEL_FILE)
    run = Run(
        root=root,
        recipe=recipe,
        command=command_of(note["command"]),
        integrity=note["integrity"],
        results=results,
        folds=folds,
        history={r.fold: read_history(root / r.fold / HISTORY_FILE) for r in results},
        store=found,
        model=model,
        header=header,
        spec=InputSpec.from_header(header["input"]),
    )
    rows = found.columns if found else unlabelled(list(ages), list(ages.values()))
    parts = [read_predictions(file, rows) for file in files]
    return System(recipe.name, pooled(recipe.name, parts), run, str(root))


def command_of(command: str) -> str:
    """The command that trains all folds, wherever wrinkle was installed."""
    program, *words = shlex.split(command)
    if program.endswith(("wrinkle", "wrinkle/__main__.py")):
        program = "wrinkle"
    if "--folds" in words:
        place = words.index("--folds")
        del words[place : place + 2]
    return shlex.join([program, *words])


def standing(root: Path, recipe: Recipe) -> str:
    """Where the training of a run without a result stands, in words."""
    for file in sorted(root.glob(f"*/{STATE_FILE}")):
        epochs = len(read_history(file.with_name(HISTORY_FILE)))
        return f"fold {file.parent.name} has trained {epochs} of {recipe.training.epochs} epochs"
    return f"nothing is trained; run `wrinkle train` to go on with {recipe.name}"


def read_history(file: Path) -> list[dict[str, float | None]]:
    """epoch, loss, validation_mae (None: not validated) and images_per_second of each epoch; empty
    where no epoch is done or the file is gone."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        return [
            {name: float(cell) if cell else None for name, cell in row.items()}
            for row in csv.DictReader(lines)
        ]


def pooled(name: str, parts: Sequence[Predictions]) -> Predictions:
    """Several folds' predictions one after the other; intervals only if all have them."""
    intervals = [part.interval for part in parts if part.interval is not None]
    return Predictions(
        name,
        pa.concat_tables([part.rows for part in parts]),
        np.concatenate([part.predicted for part in parts]),
        np.concatenate(intervals) if len(intervals) == len(parts) else None,
    )
