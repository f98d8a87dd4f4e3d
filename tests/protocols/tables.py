"""Tables as a store gives them to a protocol."""

from collections.abc import Iterable, Sequence
from random import Random

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from wrinkle.protocols import Fold


def table(
    *,
    names: Sequence[str],
    persons: Sequence[str | None] | None = None,
    digests: Sequence[str | None] | None = None,
    ages: Sequence[float] | None = None,
    genders: Sequence[str] | None = None,
) -> pa.Table:
    count = len(names)
    return pa.table(
        {
            "name": pa.array(names, pa.string()),
            "age": pa.array(ages or [float(i % 80) for i in range(count)], pa.float32()),
            "person": pa.array(persons or [None] * count, pa.string()),
            "gender": pa.array(genders or [None] * count, pa.string()),
            "group": pa.array([None] * count, pa.string()),
            "source": pa.array(["test"] * count, pa.string()),
            "digest": pa.array(digests or [f"digest of {name}" for name in names], pa.string()),
        }
    )


def morph2(names: Iterable[str]) -> pa.Table:
    """What the reader makes of photographs named like 320711_00M34.JPG."""
    photos = list(names)
    return table(
        names=photos,
        persons=[name.partition("_")[0] for name in photos],
        ages=[float(name[-6:-4]) for name in photos],
        genders=[{"M": "male", "F": "female"}[name[-7]] for name in photos],
    )


def cacd(names: Iterable[str]) -> pa.Table:
    """What the reader makes of pictures named like 53_Robin_Williams_0001.jpg."""
    pictures = list(names)
    parts = [name.removesuffix(".jpg").split("_") for name in pictures]
    return table(
        names=pictures,
        persons=["_".join(part[1:-1]) for part in parts],
        ages=[float(part[0]) for part in parts],
    )


def agedb(names: Iterable[str]) -> pa.Table:
    """What the reader makes of pictures named like 11706_OliviaHussey_31_f.jpg."""
    pictures = list(names)
    parts = [name.removesuffix(".jpg").split("_") for name in pictures]
    return table(
        names=pictures,
        persons=[part[1] for part in parts],
        ages=[float(part[2]) for part in parts],
        genders=[{"m": "male", "f": "female"}[part[3]] for part in parts],
    )


def sizes(fold: Fold) -> tuple[int, int, int]:
    return len(fold.train), len(fold.validation), len(fold.test)


def sides(fold: Fold, column: str, rows: pa.Table) -> list[set[str]]:
    """The values of a column in train, validation and test."""
    values = np.array(rows[column].to_pylist())
    return [set(values[part].tolist()) for part in (fold.train, fold.validation, fold.test)]


def shared(fold: Fold, rows: pa.Table) -> tuple[int, int]:
    """People who are tested and also train, and how many tested pictures show them."""
    train, _, test = sides(fold, "person", rows)
    tested = np.array(rows["person"].to_pylist())[fold.test]
    return len(train & test), int(np.isin(tested, list(train)).sum())


def some_of(names: Sequence[str], count: int) -> st.SearchStrategy[set[str]]:
    """`count` of many names, drawn uniformly: what a store may contain."""
    return st.integers(0, 2**32).map(lambda seed: set(Random(seed).sample(names, count)))
