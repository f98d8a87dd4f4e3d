"""A system's ages for faces of a store, ours or anybody's, and their road through a CSV file.

    name,predicted,low,high
    images/001A02.JPG,3.1,0,8

name       the picture's name in the store
predicted  years
low, high  optional: the system's 90 % interval in years

The first line names the columns, in any order; others are ignored. UTF-8, commas. Pictures of the
store that the file lacks are left out.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from wrinkle.datasets.csv_files import read_table
from wrinkle.errors import WrinkleError

INTERVAL = 0.9
"""Share of people whose age a system's interval is to hold."""


@dataclass(frozen=True)
class Predictions:
    """What one system says of some faces.

    rows: N rows of a store's `columns`, the labels. predicted: (N,) years. interval: (N, 2) years,
    the system's `INTERVAL`, or None where it gives none.
    """

    system: str
    rows: pa.Table
    predicted: np.ndarray
    interval: np.ndarray | None = None

    @property
    def actual(self) -> np.ndarray:
        """(N,) years."""
        ages: np.ndarray = self.rows["age"].to_numpy().astype(np.float64)
        return ages

    def take(self, indices: np.ndarray) -> "Predictions":
        """The faces at some indices, in their order."""
        interval = None if self.interval is None else self.interval[indices]
        return replace(
            self,
            rows=self.rows.take(indices),
            predicted=self.predicted[indices],
            interval=interval,
        )


def read_predictions(path: str | Path, rows: pa.Table) -> Predictions:
    """Predictions in a CSV file for those of a store's `columns` that it names.

    WrinkleError, one line, for a file that is no such table, a picture that the store does not have
    or that is named twice, and an age that is no number.
    """
    path = Path(path)
    place = {name: row for row, name in enumerate(rows["name"].to_pylist())}
    found: dict[int, tuple[float, ...]] = {}
    columns: tuple[str, ...] = ("predicted",)
    for number, cells in read_table(path, ("name", "predicted")):
        name, where = cells["name"], f"{path}, line {number}"
        if name not in place:
            raise WrinkleError(f"{where}: the store has no picture {name!r}")
        if place[name] in found:
            raise WrinkleError(f"{where}: {name!r} is named twice")
        if "low" in cells and "high" in cells:
            columns = ("predicted", "low", "high")
        found[place[name]] = tuple(_number(cells[column], column, where) for column in columns)
    if not found:
        raise WrinkleError(f"{path} holds no predictions")
    order = sorted(found)
    ages = np.array([found[row][0] for row in order])
    interval = np.array([found[row][1:] for row in order]) if len(columns) == 3 else None
    return Predictions(path.stem, rows.take(order), ages, interval)


def to_csv(predictions: Predictions, more: Mapping[str, np.ndarray] | None = None) -> bytes:
    """name, age, predicted and, where known, low and high; `read_predictions` reads it again.

    more: further columns of N numbers.
    """
    columns = {"age": predictions.actual, "predicted": predictions.predicted}
    if predictions.interval is not None:
        columns |= {"low": predictions.interval[:, 0], "high": predictions.interval[:, 1]}
    columns |= more or {}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["name", *columns])
    numbers = np.stack(list(columns.values()), 1).tolist()
    for name, (age, *others) in zip(predictions.rows["name"].to_pylist(), numbers, strict=True):
        table.writerow([name, f"{age:g}", *(f"{value:.3f}" for value in others)])
    return text.getvalue().encode()


def in_common(systems: Sequence[Predictions]) -> list[Predictions]:
    """The same systems on the faces that all of them have, in the same order.

    A face is a picture's name in its dataset, with its age; one that several folds test is paired
    once for each. WrinkleError when there is no such face.
    """
    places = [_places(each) for each in systems]
    shared = [key for key in places[0] if all(key in place for place in places)]
    if not shared:
        raise WrinkleError(
            f"{' and '.join(each.system for each in systems)} have no picture in common"
        )
    return [
        system.take(np.array([place[key] for key in shared]))
        for system, place in zip(systems, places, strict=True)
    ]


def _places(predictions: Predictions) -> dict[tuple[str, float, int], int]:
    """Name, age and number among those of the same name → where a face stands."""
    seen: Counter[str] = Counter()
    places = {}
    ages = np.round(predictions.actual, 3).tolist()
    for index, name in enumerate(predictions.rows["name"].to_pylist()):
        places[name, ages[index], seen[name]] = index
        seen[name] += 1
    return places


def _number(text: str, column: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise WrinkleError(f"{where}: {column} is {text!r}, not a number of years")
    return value
