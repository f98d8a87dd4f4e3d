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
        """(N,) years: the true ages."""
        ages: np.ndarray = self.rows["age"].to_numpy().astype(np.float64)
        return ages

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


def unlabelled(names: Sequence[str], ages: Sequence[float] | np.ndarray) -> pa.Table:
    """Labels of pictures of which only names and ages, in years, are known."""
    known = {"name": names, "age": ages}
    nothing = [None] * len(names)
    return pa.table(
        [pa.array(known.get(name, nothing), SCHEMA.field(name).type) for name in LABELS], LABELS
    )


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

    A face is given by its picture's name and its age. One that several folds test is paired once
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


def _places(predictions: Predictions) -> dict[tuple[str, float, int], int]:
    """(name, age, number among those of the same name) → index of the face."""
    seen: Counter[str] = Counter()
    places = {}
    ages = predictions.actual.tolist()
    for index, name in enumerate(predictions.rows["name"].to_pylist()):
        places[name, ages[index], seen[name]] = index
        seen[name] += 1
    return places
