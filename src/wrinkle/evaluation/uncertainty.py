"""How far figures of merit may be from what more faces would show: the bootstrap.

Pictures of one person are alike, so people are drawn, not pictures, where they are known (the
cluster bootstrap: Davison, Hinkley, "Bootstrap Methods and Their Application", 1997, section 3.8).
Intervals are those of the percentiles.
"""

from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from wrinkle.errors import WrinkleError

SAMPLES = 2000
LEVEL = 0.95
ROOM = 2**22
"""Draws that are held at a time."""


class Estimate(NamedTuple):
    """A figure and the interval in which `LEVEL` of the bootstrap's samples lie."""

    value: float
    low: float
    high: float


class Comparison(NamedTuple):
    """Of two systems on the same faces: difference of their mean absolute errors, first − second
    (negative: the first is better), the share of samples on the other side of 0, twice (a two-sided
    p-value, at least 1 over the number of samples), and the share of faces on which the first is
    nearer, ties counted half."""

    difference: Estimate
    p: float
    wins: float


def bootstrap(
    values: np.ndarray,
    members: np.ndarray | None = None,
    clusters: Iterable[Hashable] | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Means of `samples` samples drawn with replacement from clusters of faces.

    Args:
        values: (N, M): M quantities of each face, absolute errors for example.
        members: (N, M) bool: which faces count for each quantity; None: all do.
        clusters: N names of people, None for a face that is alone; None: every face is.

    Returns (samples, M) float64; NaN where a sample holds no member. The same seed gives the same
    samples. WrinkleError for no faces, no samples, values that are no numbers, or other lengths.
    """
    values = np.asarray(values, np.float64)
    counted = np.ones(values.shape) if members is None else np.asarray(members, np.float64)
    if values.ndim != 2 or not len(values) or counted.shape != values.shape or samples < 1:
        raise WrinkleError(
            f"the bootstrap takes values (N, M), N ≥ 1, and members of their shape, and draws at "
            f"least 1 sample; given {values.shape}, {counted.shape} and {samples} samples"
        )
    if not np.isfinite(np.where(counted > 0, values, 0.0)).all():
        raise WrinkleError("the bootstrap was given a value that is not a number")
    sums = np.hstack([np.where(counted > 0, values, 0.0), counted])
    if clusters is not None:
        sums = _sum_by(sums, clusters)
    width = values.shape[1]
    parts = []
    for counts in _draws(len(sums), samples, np.random.default_rng(seed)):
        totals = counts @ sums
        with np.errstate(invalid="ignore"):
            parts.append(totals[:, :width] / totals[:, width:])
    return np.concatenate(parts)


def estimates(
    values: np.ndarray,
    members: np.ndarray | None = None,
    clusters: Iterable[Hashable] | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
) -> list[Estimate]:
    """Mean of each column of `values`, over its members, with its interval; see `bootstrap`."""
    drawn = bootstrap(values, members, clusters, samples, seed)
    counted = np.ones(np.shape(values), bool) if members is None else np.asarray(members, bool)
    result = []
    for column, inside, replicates in zip(np.transpose(values), counted.T, drawn.T, strict=True):
        if inside.any():
            result.append(estimate(float(column[inside].mean()), replicates))
        else:
            result.append(Estimate(np.nan, np.nan, np.nan))
    return result


def estimate(value: float, replicates: np.ndarray) -> Estimate:
    """A figure with the central `LEVEL` of its replicates; those that are NaN do not count."""
    low, high = np.nanquantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def compare(
    first: np.ndarray,
    second: np.ndarray,
    actual: np.ndarray,
    clusters: Iterable[Hashable] | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Comparison:
    """Two systems' predicted ages, (N,) years each, for the same faces of the given ages."""
    errors = [np.abs(np.subtract(each, actual, dtype=np.float64)) for each in (first, second)]
    difference = errors[0] - errors[1]
    drawn = bootstrap(difference[:, None], None, clusters, samples, seed)[:, 0]
    beyond = min((drawn <= 0).mean(), (drawn >= 0).mean())
    return Comparison(
        estimate(float(difference.mean()), drawn),
        float(min(1.0, max(2 * beyond, 1 / samples))),
        float((difference < 0).mean() + (difference == 0).mean() / 2),
    )


def _sum_by(sums: np.ndarray, clusters: Iterable[Hashable]) -> np.ndarray:
    """Rows of the same cluster added up."""
    numbers: dict[Hashable, int] = {}
    names = list(clusters)
    if len(names) != len(sums):
        raise WrinkleError(f"{len(names)} people for {len(sums)} faces")
    alone = [object() if name is None else name for name in names]
    code = np.array([numbers.setdefault(name, len(numbers)) for name in alone])
    total = np.zeros((len(numbers), sums.shape[1]))
    np.add.at(total, code, sums)
    return total


def _draws(count: int, samples: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each of `count` was drawn, (b, count) float64, some samples at a time."""
    step = max(1, ROOM // count)
    for start in range(0, samples, step):
        rows = min(step, samples - start)
        drawn = random.integers(count, size=(rows, count), dtype=np.int32)
        yield np.stack([np.bincount(row, minlength=count) for row in drawn]).astype(np.float64)
