"""What a report compares: runs of ours, and anybody's predictions in a CSV file."""

import csv
import posixpath
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

from wrinkle.datasets.reading import read_table
from wrinkle.datasets.store import LABELS, SCHEMA, Store
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.predictions import Predictions, read_predictions
from wrinkle.protocols import Fold, get_protocol
from wrinkle.protocols.fold import limited
from wrinkle.training.recipe import Recipe
from wrinkle.training.run_folder import (
    HISTORY_FILE,
    MODEL_FILE,
    PREDICTIONS_FILE,
    RECIPE_FILE,
    RESULT_FILE,
    STATE_FILE,
    Result,
    read_note,
    read_result,
)


@dataclass(frozen=True)
class Run:
    """A run's folder, as far as it is done.

    results: of the folds that are done. folds: all of the protocol's, with the rows that the run
    takes of them; None without a store.
    history: fold → the numbers of each epoch. store: None where the file is not at hand.
    """

    root: Path
    recipe: Recipe
    command: str
    integrity: str
    results: list[Result]
    folds: list[Fold] | None
    history: dict[str, list[dict[str, float | None]]]
    store: Store | None

    @property
    def model_file(self) -> Path:
        """The model of the first fold that is done."""
        return self.root / self.results[0].fold / MODEL_FILE

    def fold(self, name: str) -> Fold | None:
        return next((fold for fold in self.folds or [] if fold.name == name), None)


@dataclass(frozen=True)
class System:
    """A name, its predictions over all folds that are done, and the run they come from, if any."""

    name: str
    predictions: Predictions
    run: Run | None


def read_system(place: str | Path, store: Store | None) -> System:
    """A run's folder, or a CSV file of predictions for faces of `store`.

    store: takes the place of the one that the run's recipe names. WrinkleError, one line, for
    whatever is neither, is not done in any fold, or does not fit the store.
    """
    place = Path(place)
    if place.suffix == ".csv":
        if store is None:
            raise WrinkleError(f"{place}: whose faces are these? Name a run first, or --store FILE")
        predictions = read_predictions(place, store.columns)
        return System(predictions.system, predictions, None)
    run = read_run(place, store)
    parts = []
    for result in run.results:
        file = place / result.fold / PREDICTIONS_FILE
        rows = run.store.columns if run.store else labels_of(file)
        parts.append(read_predictions(file, rows))
    return System(run.recipe.name, pooled(run.recipe.name, parts), run)


def shortened(systems: Sequence[System]) -> list[System]:
    """The same systems without the folders that the names of all runs begin with."""
    folders = [posixpath.dirname(system.name) for system in systems if system.run]
    common = f"{posixpath.commonpath(folders)}/" if len(folders) > 1 else ""
    return [replace(s, name=s.name.removeprefix(common)) if s.run else s for s in systems]


def read_run(root: Path, store: Store | None) -> Run:
    """The folds of `runs/<recipe name>/` that are done. WrinkleError where there is none."""
    if not (root / RECIPE_FILE).is_file():
        raise WrinkleError(f"{root} is no run: give a folder such as runs/utkface/dhaa")
    text = yaml.safe_load((root / RECIPE_FILE).read_text(encoding="utf-8"))
    recipe = Recipe.model_validate(text)
    folds = None
    if store is None and Path(recipe.data.store).is_file():
        store = Store(recipe.data.store)
    if store is not None:
        whole = get_protocol(recipe.data.protocol).folds(store.columns)
        folds = [limited(fold, recipe.data.limit, recipe.training.seed) for fold in whole]
    order = [fold.name for fold in folds] if folds else fold_names(root)
    done = [name for name in order if (root / name / RESULT_FILE).is_file()]
    if not done:
        raise WrinkleError(f"{root}: no fold is done yet ({standing(root, recipe)})")
    note = read_note(root)
    return Run(
        root=root,
        recipe=recipe,
        command=shlex.join(["wrinkle", *shlex.split(note["command"])[1:]]),
        integrity=note["integrity"],
        results=[read_result(root / name) for name in done],
        folds=folds,
        history={name: read_history(root / name / HISTORY_FILE) for name in done},
        store=store,
    )


def fold_names(root: Path) -> list[str]:
    """Folders of folds, numbers in their order."""
    names = [file.parent.name for file in root.glob(f"*/{RESULT_FILE}")]
    return sorted(names, key=lambda name: (not name.isdecimal(), name.zfill(9)))


def standing(root: Path, recipe: Recipe) -> str:
    """Where the training of a run without a result stands, in words."""
    for file in sorted(root.glob(f"*/{STATE_FILE}")):
        history = file.with_name(HISTORY_FILE)
        epochs = len(read_history(history)) if history.is_file() else 0
        return f"fold {file.parent.name} has trained {epochs} of {recipe.training.epochs} epochs"
    return f"nothing is trained; run `wrinkle train` to go on with {recipe.name}"


def read_history(file: Path) -> list[dict[str, float | None]]:
    """epoch, loss, validation_mae (None: not validated) and images_per_second of each epoch."""
    with file.open(newline="", encoding="utf-8") as lines:
        return [
            {name: float(cell) if cell else None for name, cell in row.items()}
            for row in csv.DictReader(lines)
        ]


def labels_of(file: Path) -> pa.Table:
    """A store's columns for the pictures of a run's predictions.csv, as far as it knows them."""
    rows = [cells for _, cells in read_table(file, ("name", "age", "predicted"))]
    known = {"name": [row["name"] for row in rows], "age": [float(row["age"]) for row in rows]}
    columns = [
        pa.array(known.get(name, [None] * len(rows)), SCHEMA.field(name).type) for name in LABELS
    ]
    return pa.table(columns, LABELS)


def pooled(name: str, parts: Sequence[Predictions]) -> Predictions:
    """Several folds' predictions one after the other; intervals only if all have them."""
    intervals = [part.interval for part in parts if part.interval is not None]
    return Predictions(
        name,
        pa.concat_tables([part.rows for part in parts]),
        np.concatenate([part.predicted for part in parts]),
        np.concatenate(intervals) if len(intervals) == len(parts) else None,
    )
