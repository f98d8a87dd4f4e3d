"""A run's finished folds, as one row of a comparison: what its folder in `runs/` says."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from wrinkle.datasets.csv_files import read_table
from wrinkle.datasets.store import LABELS, SCHEMA, Store
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.predictions import Predictions
from wrinkle.evaluation.scores import CUMULATIVE, clusters, known_people
from wrinkle.evaluation.uncertainty import Estimate, estimates
from wrinkle.models import create_model
from wrinkle.protocols import Protocol, get_protocol
from wrinkle.runs.folder import (
    PREDICTIONS_FILE,
    RECIPE_FILE,
    RESULT_FILE,
    Result,
    read_note,
    read_result,
)
from wrinkle.runs.recipe import Recipe, load_recipe


class OverFolds(NamedTuple):
    """Mean over folds and sample deviation between them, None of a single fold."""

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Run:
    """What the finished folds of a run say.

    data: fingerprint of the pictures and labels it was made on. integrity: what training and test
    share. done: names of the finished folds.
    folds: how many there are in all, None where only the store can tell and is not here.
    mae, cs5, epsilon: over all tested pictures at once, with 95 % intervals, NaN where there is one
    person; years, per cent, and the ε-error, None where labels have no deviation.
    drawn: what the bootstrap draws.
    """

    folder: Path
    recipe: Recipe
    protocol: Protocol
    data: str
    integrity: str
    done: tuple[str, ...]
    folds: int | None
    pictures: int
    mae: Estimate
    mae_over_folds: OverFolds
    cs5: Estimate
    cs5_over_folds: OverFolds
    epsilon: Estimate | None
    drawn: str
    parameters: int


def read_run(folder: Path) -> Run:
    """The finished folds in `runs/<recipe name>/`.

    Where the recipe's store is at hand, it says who is who, for the bootstrap, and how many folds
    there are. WrinkleError, one line, when no fold is finished or a file is damaged.
    """
    recipe = load_recipe(folder / RECIPE_FILE)
    protocol = get_protocol(recipe.data.protocol)
    try:
        note = read_note(folder)
        data, integrity = note["data"], note["integrity"]
        results = results_of(folder)
        names, numbers = predictions_of(folder, results)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WrinkleError(f"{folder} is damaged ({error}): train it again") from None
    if not results:
        raise WrinkleError(f"still training, no fold finished: {folder}")
    actual, predicted = numbers.T
    store = store_of(recipe.data.store, dict(zip(names, actual.tolist(), strict=True)))
    tested = Predictions(recipe.name, _labels(names, actual, store), predicted)
    mae, cs5, epsilon = _estimates(tested)
    n, maes, shares = (np.array([getattr(r, f) for r in results]) for f in ("n", "mae", "cs5"))
    scores = 100 * shares
    return Run(
        folder=folder,
        recipe=recipe,
        protocol=protocol,
        data=data,
        integrity=integrity,
        done=tuple(result.fold for result in results),
        folds=_fold_count(protocol, store),
        pictures=int(n.sum()),
        # Predictions are rounded, results are not.
        mae=mae._replace(value=float(n @ maes / n.sum())),
        mae_over_folds=_over_folds(maes),
        cs5=cs5._replace(value=float(n @ scores / n.sum())),
        cs5_over_folds=_over_folds(scores),
        epsilon=epsilon,
        drawn=_drawn(tested, recipe, store),
        parameters=_parameters(recipe),
    )


def start(recipe: Recipe) -> str:
    """Where a recipe's weights come from, in words."""
    own = {"none": "from scratch", "imagenet": "ImageNet"}.get(recipe.init, recipe.init)
    if recipe.first is None:
        return own
    epochs = recipe.first.training.epochs
    return f"{own}; first stage {recipe.first.name} ({epochs} epochs, {start(recipe.first)})"


def results_of(folder: Path) -> list[Result]:
    """Of the folds that are done."""
    names = [path.parent.name for path in folder.glob(f"*/{RESULT_FILE}")]
    # 2 comes before 10.
    return [
        read_result(folder / name) for name in sorted(names, key=lambda name: (len(name), name))
    ]


def predictions_of(folder: Path, results: list[Result]) -> tuple[list[str], np.ndarray]:
    """Names of the tested pictures of all folds, and (N, 2): their age and what was predicted."""
    names: list[str] = []
    numbers: list[tuple[float, float]] = []
    for result in results:
        path = folder / result.fold / PREDICTIONS_FILE
        lines = [cells for _, cells in read_table(path, ("name", "age", "predicted"))]
        if len(lines) != result.n:
            raise ValueError(f"{path} has {len(lines)} pictures, {RESULT_FILE} {result.n}")
        names += [cells["name"] for cells in lines]
        numbers += [(float(cells["age"]), float(cells["predicted"])) for cells in lines]
    if not np.isfinite(numbers).all():
        raise ValueError("a prediction is not a number")
    return names, np.array(numbers, np.float64).reshape(-1, 2)


def store_of(path: str | Path, ages: dict[str, float]) -> Store | None:
    """The store that was tested on; None where it is gone or holds other pictures or ages now."""
    try:
        store = Store(path)
    except WrinkleError:
        return None
    held = dict(zip(store.columns["name"].to_pylist(), store.ages.tolist(), strict=True))
    # Predictions hold ages with six digits.
    same = all(math.isclose(held.get(name, -1), age, rel_tol=1e-5) for name, age in ages.items())
    return store if same else None


def unlabelled(names: Sequence[str], ages: Sequence[float]) -> pa.Table:
    """A store's columns for pictures of which no more is known than their ages."""
    known = {"name": names, "age": ages}
    columns = [
        pa.array(known.get(name, [None] * len(names)), SCHEMA.field(name).type) for name in LABELS
    ]
    return pa.table(columns, LABELS)


def _labels(names: list[str], actual: np.ndarray, store: Store | None) -> pa.Table:
    """The store's rows of `names`, as often as they stand there."""
    if store is None:
        return unlabelled(names, actual.tolist())
    place = {name: row for row, name in enumerate(store.columns["name"].to_pylist())}
    return store.columns.take([place[name] for name in names])


def _estimates(tested: Predictions) -> tuple[Estimate, Estimate, Estimate | None]:
    """MAE in years, CS(5) in per cent and ε-error."""
    error = np.abs(tested.predicted - tested.actual)
    deviation = tested.rows["age_deviation"].to_numpy().astype(float)  # NaN: there is none
    known = deviation > 0
    epsilon = -np.expm1(-0.5 * (error / np.where(known, deviation, 1)) ** 2)
    values = np.stack([error, 100 * (error <= CUMULATIVE), epsilon], 1)
    members = np.stack([np.ones(len(error), bool), np.ones(len(error), bool), known], 1)
    # Where folds overlap, a picture is tested again and again: it is drawn with all its errors.
    drawn = clusters(tested)
    found = estimates(values, members, drawn)
    if len(set(drawn)) == 1:
        found = [Estimate(each.value, math.nan, math.nan) for each in found]
    return found[0], found[1], found[2] if known.any() else None


def _over_folds(values: np.ndarray) -> OverFolds:
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    return OverFolds(float(values.mean()), deviation)


def _fold_count(protocol: Protocol, store: Store | None) -> int | None:
    if store is not None:
        return len(protocol.folds(store.columns))
    return len(protocol.sizes) or None


def _drawn(tested: Predictions, recipe: Recipe, store: Store | None) -> str:
    if store is None:
        return f"pictures ({recipe.data.store} is not here, or has changed)"
    return "pictures (nobody is known)" if known_people(tested) is None else "people"


def _parameters(recipe: Recipe) -> int:
    fields = {**recipe.model.fields, "input_size": recipe.input.size}
    return sum(p.numel() for p in create_model(recipe.model.name, **fields).parameters())
