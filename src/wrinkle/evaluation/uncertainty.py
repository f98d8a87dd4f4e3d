"""Uncertainty of means by the bootstrap, with percentile intervals.

Pictures of one person are similar, so people are drawn instead of pictures where they are known
(the cluster bootstrap: Davison, Hinkley, "Bootstrap Methods and Their Application", 1997, section
3.8).
"""

from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from wrinkle.errors import WrinkleError

SAMPLES = 2000
LEVEL = 0.95
FEWEST = 5
"""Fewer faces have no interval: theirs would be far too narrow, and of zero width for one face."""
BLOCK = 2**22
"""Draws in memory at a time."""


class Estimate(NamedTuple):
    """A value and its interval at `LEVEL`; NaN: there are too few faces for an interval."""

    value: float
    low: float
    high: float


class Comparison(NamedTuple):
    """Two systems on the same faces.

    Attributes:
        difference: of their mean absolute errors, first − second, years. Negative: the first is
            better.
        p: two-sided p-value: twice the share of bootstrap samples on the other side of 0, at least
            1 / number of samples. NaN, like the interval, with fewer than `FEWEST` faces or one
            person.
        wins: share of faces for which the first is closer to the age; ties count half.
    """

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
        values: (N, M): M quantities of each face, such as absolute errors.
        members: (N, M) bool: which faces count for each quantity; None: all.
        clusters: the person of each face, N of them; a face with None is a cluster of its own.
            None: every face is.
        samples: how many are drawn.
        seed: the same seed gives the same samples.

    Returns:
        (samples, M) float64; NaN where a sample has no member.

    Raises:
        WrinkleError: no faces, no samples, values that are not numbers, or different lengths.
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
    """Mean of each column of `values`, over its members, with its interval; see `bootstrap`.

    Intervals are NaN with fewer than `FEWEST` members, or with one cluster. For shares, see
    `wrinkle.evaluation.proportions`.
    """
    clusters = None if clusters is None else list(clusters)
    drawn = bootstrap(values, members, clusters, samples, seed)
    numbers = np.arange(len(values)) if clusters is None else cluster_numbers(clusters)
    counted = np.ones(np.shape(values), bool) if members is None else np.asarray(members, bool)
    result = []
    for column, inside, replicates in zip(np.transpose(values), counted.T, drawn.T, strict=True):
        value = float(column[inside].mean()) if inside.any() else np.nan
        if inside.sum() < FEWEST or np.ptp(numbers[inside]) == 0:
            result.append(Estimate(value, np.nan, np.nan))
        else:
            result.append(estimate(value, replicates))
    return result


def estimate(value: float, replicates: np.ndarray) -> Estimate:
    """A value with the central `LEVEL` of its replicates, (samples,); NaN are left out."""
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
    """Compare two systems' predicted ages for the same faces; all (N,) years."""
    errors = [np.abs(np.subtract(each, actual, dtype=np.float64)) for each in (first, second)]
    return compare_errors(errors[0], errors[1], clusters, samples, seed)


def compare_errors(
    first: np.ndarray,
    second: np.ndarray,
    clusters: Iterable[Hashable] | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare two systems' absolute errors for the same faces; both (N,) years."""
    difference = first - second
    clusters = None if clusters is None else list(clusters)
    drawn = bootstrap(difference[:, None], None, clusters, samples, seed)[:, 0]
    numbers = np.arange(len(difference)) if clusters is None else cluster_numbers(clusters)
    wins = float((difference < 0).mean() + (difference == 0).mean() / 2)
    if len(difference) < FEWEST or np.ptp(numbers) == 0:
        return Comparison(Estimate(float(difference.mean()), np.nan, np.nan), np.nan, wins)
    beyond = min((drawn <= 0).mean(), (drawn >= 0).mean())
    p = float(min(1.0, max(2 * beyond, 1 / samples)))
    return Comparison(estimate(float(difference.mean()), drawn), p, wins)


def _sum_by(sums: np.ndarray, clusters: Iterable[Hashable]) -> np.ndarray:
    """Sums of the rows of each cluster."""
    code = cluster_numbers(clusters)
    if len(code) != len(sums):
        raise WrinkleError(f"{len(code)} people for {len(sums)} faces")
    total = np.zeros((code.max() + 1, sums.shape[1]))
    np.add.at(total, code, sums)
    return total


def cluster_numbers(clusters: Iterable[Hashable]) -> np.ndarray:
    """Numbers from 0 of the clusters of faces, (N,); None is a cluster of its own."""
    numbers: dict[Hashable, int] = {}
    alone = [object() if name is None else name for name in clusters]
    return np.array([numbers.setdefault(name, len(numbers)) for name in alone])


def _draws(count: int, samples: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each of `count` clusters is drawn, (b, count) float64, b samples at a time."""
    step = max(1, BLOCK // count)
    for start in range(0, samples, step):
        rows = min(step, samples - start)
        drawn = random.integers(count, size=(rows, count), dtype=np.int32)
        yield np.stack([np.bincount(row, minlength=count) for row in drawn]).astype(np.float64)
