"""A system's predicted ages for faces of a store."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from wrinkle.datasets.store import LABELS, SCHEMA
from wrinkle.errors import WrinkleError

INTERVAL = 0.9
"""Share of faces whose age a system's interval should contain."""


@dataclass(frozen=True)
class Predictions:
    """What one system predicts for some faces.

    Attributes:
        system: its name.
        rows: N rows with the columns of a store's labels.
        predicted: (N,) years.
        interval: (N, 2) years, the system's 90 % interval; None where it gives none.
        classifiers: name → (N,) years, the ages by further classifiers of a network.
        distribution: (N, A) float32, rows sum to 1; None where it is not known.
        ages: (A,) years: the ages behind the columns of `distribution`.
        left_out: how many more predictions there were, of pictures that `prepare` dropped.
    """

    system: str
    rows: pa.Table
    predicted: np.ndarray
    interval: np.ndarray | None = None
    classifiers: dict[str, np.ndarray] = field(default_factory=dict)
    distribution: np.ndarray | None = None
    ages: np.ndarray | None = None
    left_out: int = 0

    @property
    def actual(self) -> np.ndarray:
        """(N,) years: the true ages; NaN where only a range is known."""
        ages: np.ndarray = self.rows["age"].to_numpy().astype(np.float64)
        return ages

    @property
    def ranges(self) -> np.ndarray:
        """(N, 2) years: the first and last year of each label's range; NaN where it has none."""
        ends = [self.rows[end].to_numpy().astype(np.float64) for end in ("age_low", "age_high")]
        return np.stack(ends, 1)

    def exact(self) -> "Predictions":
        """The faces whose age is known."""
        return self.take(np.flatnonzero(~np.isnan(self.actual)))

    def ranged(self) -> "Predictions":
        """The faces of which only a range is known."""
        return self.take(np.flatnonzero(np.isnan(self.actual)))

    def take(self, indices: np.ndarray) -> "Predictions":
        """The faces at some indices, in their order."""
        return replace(
            self,
            rows=self.rows.take(indices),
            predicted=self.predicted[indices],
            interval=None if self.interval is None else self.interval[indices],
            classifiers={name: ages[indices] for name, ages in self.classifiers.items()},
            distribution=None if self.distribution is None else self.distribution[indices],
        )


def unlabelled(
    names: Sequence[str], ages: Sequence[float] | np.ndarray, ranges: np.ndarray | None = None
) -> pa.Table:
    """Labels of pictures of which only names, ages and ranges are known.

    Args:
        names: N of them.
        ages: (N,) years; NaN: not known.
        ranges: (N, 2) whole years; NaN or None: none.
    """
    nothing = [None] * len(names)
    numbers = {"age": np.asarray(ages, np.float64)}
    if ranges is not None:
        numbers |= {"age_low": ranges[:, 0], "age_high": ranges[:, 1]}
    known = {
        k: pa.array(v, from_pandas=True).cast(SCHEMA.field(k).type) for k, v in numbers.items()
    }
    known["name"] = pa.array(names, pa.string())
    columns = [known.get(n, pa.array(nothing, SCHEMA.field(n).type)) for n in LABELS]
    return pa.table(columns, LABELS)


def pooled(parts: Sequence[Predictions]) -> Predictions:
    """Predictions of one system one after the other, for example those of several folds.

    Intervals, further classifiers and distributions are kept where all parts have them.
    """
    first = parts[0]

    def joined(arrays: list[np.ndarray | None]) -> np.ndarray | None:
        present = [array for array in arrays if array is not None]
        same = len({array.shape[1:] for array in present}) == 1
        return np.concatenate(present) if len(present) == len(arrays) and same else None

    shared = [n for n in first.classifiers if all(n in part.classifiers for part in parts)]
    return Predictions(
        first.system,
        pa.concat_tables([part.rows for part in parts]),
        np.concatenate([part.predicted for part in parts]),
        joined([part.interval for part in parts]),
        {name: np.concatenate([part.classifiers[name] for part in parts]) for name in shared},
        joined([part.distribution for part in parts]),
        first.ages,
    )


def in_common(systems: Sequence[Predictions]) -> list[Predictions]:
    """The same systems on the faces that all of them have, in the same order.

    A face is given by its picture's name and its label. One that several folds test is paired once
    for each.

    Raises:
        WrinkleError: there is no such face.
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


def _places(predictions: Predictions) -> dict[tuple[object, ...], int]:
    """(name, age, range, number among those of the same name) → index of the face."""
    seen: Counter[str] = Counter()
    places: dict[tuple[object, ...], int] = {}
    columns = [predictions.rows[c].to_pylist() for c in ("name", "age", "age_low", "age_high")]
    for index, (name, *label) in enumerate(zip(*columns, strict=True)):
        places[name, *label, seen[name]] = index
        seen[name] += 1
    return places
