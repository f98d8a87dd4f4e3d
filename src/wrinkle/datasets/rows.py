"""What every dataset is read into: a row per labelled picture, a reason for each one left out."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wrinkle.tables import parse_number

MAX_AGE = 120
"""Years. Labels outside 0..MAX_AGE are impossible: only one documented life was longer."""


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled picture of one person.

    Attributes:
        path: the file.
        name: POSIX path below the dataset's root, unique in the dataset; split lists refer to it.
        age: years, 0..MAX_AGE; None where only a range is known.
        source: the dataset's name.
        age_deviation: standard deviation of the label in years, where several people guessed.
        person: an identity within the dataset.
        gender: "female" or "male".
        group: the dataset's own word for the ethnic group.
        landmarks: (68, 2) float32 (x, y) in pixels of the photograph; pixel i covers [i, i + 1).
        age_low, age_high: whole years, inclusive: the range in which the age is; both or none. At
            least one of age and range is known.
        unread: optional labels of the picture that were not understood, and so are unknown.
    """

    path: Path
    name: str
    age: float | None
    source: str
    age_deviation: float | None = None
    person: str | None = None
    gender: str | None = None
    group: str | None = None
    landmarks: np.ndarray | None = field(default=None, compare=False, repr=False)
    age_low: int | None = None
    age_high: int | None = None
    unread: "tuple[Dropped, ...]" = ()

    @property
    def label(self) -> str:
        """The age or the range in words, such as "34", "30–39" or "34 (30–39)"."""
        span = None if self.age_low is None else f"{self.age_low}–{self.age_high}"
        if self.age is None:
            return str(span)
        return f"{self.age:g}" if span is None else f"{self.age:g} ({span})"


class Dropped(NamedTuple):
    """A picture left out, or an optional label of it.

    Attributes:
        name: of the picture, as in `Row`.
        reason: a few words, the same for all that is left out for this reason.
        detail: what is particular to this picture.
    """

    name: str
    reason: str
    detail: str = ""


def parse_age(text: str) -> float | None:
    """Age in years, or None when `text` is not a number in 0..MAX_AGE."""
    return possible_age(parse_number(text))


def parse_deviation(text: str) -> float | None:
    """Standard deviation in years, or None when `text` is not a number of at least 0."""
    return possible_deviation(parse_number(text))


def possible_age(age: float | None) -> float | None:
    """The age where it is in 0..MAX_AGE, else None."""
    return age if age is not None and 0 <= age <= MAX_AGE else None


def possible_deviation(deviation: float | None) -> float | None:
    """The standard deviation where it is at least 0, else None."""
    return deviation if deviation is not None and deviation >= 0 else None


def possible_range(low: float | None, high: float | None) -> tuple[int, int] | None:
    """The range where both ends are whole years in 0..MAX_AGE and in order, else None."""
    first, last = possible_age(low), possible_age(high)
    if first is None or last is None or first > last or first % 1 or last % 1:
        return None
    return int(first), int(last)


def distance_to_range(ages: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Years from each age (N,) to its range (N, 2), 0 within; NaN where there is no range."""
    low, high = ranges.T
    distance: np.ndarray = np.maximum(np.maximum(low - ages, ages - high), 0)
    return distance


def separate(found: Iterable[Row | Dropped]) -> tuple[list[Row], list[Dropped]]:
    """Rows and pictures left out, separated.

    Of rows with the same name the first is kept if their ages and ranges agree, else none.
    """
    rows: dict[str, list[Row]] = defaultdict(list)
    kept, dropped = [], []
    for entry in found:
        if isinstance(entry, Dropped):
            dropped.append(entry)
        else:
            rows[entry.name].append(entry)
    for name, same in rows.items():
        labels = {row.label for row in same}
        if len(labels) > 1:
            detail = f"listed with ages {', '.join(sorted(labels))}"
            dropped += [Dropped(name, "conflicting duplicate labels", detail)] * len(same)
        else:
            kept.append(same[0])
            also = Dropped(name, "same name twice", f"also {same[0].path}")
            dropped += [also] * (len(same) - 1)
    return kept, dropped
