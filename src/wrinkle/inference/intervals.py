"""Intervals and probabilities of a distribution over ages, without calibration."""

import numpy as np


def central_interval(
    distribution: np.ndarray, ages: np.ndarray, share: float = 0.9
) -> tuple[float, float]:
    """Return the central interval of a distribution, interpolated linearly within ages.

    An age covers all values nearer to it than to its neighbours, an integer age [a − ½, a + ½).

    Args:
        distribution: (A,), sums to 1.
        ages: (A,) years, ascending.
        share: probability of the interval, in (0, 1).

    Returns:
        Both ends in years, between the first and the last age.
    """
    below = _cumulated(distribution)
    low, high = np.interp([(1 - share) / 2, (1 + share) / 2], below, _edges(ages))
    return float(max(low, ages[0])), float(min(high, ages[-1]))


def probability_at_least(distribution: np.ndarray, ages: np.ndarray, age: float) -> float:
    """Return P(the person is `age` or older), in [0, 1].

    Args:
        distribution: (A,), sums to 1.
        ages: (A,) years, ascending; completed years, as people state their ages.
        age: years.
    """
    return float(1 - np.interp(age - 0.5, _edges(ages), _cumulated(distribution)))


def _edges(ages: np.ndarray) -> np.ndarray:
    """(A,) ascending → (A + 1,): the midpoints of neighbours, the ends half a step outside."""
    inner = (ages[1:] + ages[:-1]) / 2
    first, last = 2 * ages[0] - inner[0], 2 * ages[-1] - inner[-1]
    return np.concatenate([[first], inner, [last]])


def _cumulated(distribution: np.ndarray) -> np.ndarray:
    """(A,) → (A + 1,): the probability below each edge."""
    below = np.concatenate([[0.0], np.cumsum(distribution, dtype=np.float64)])
    return np.asarray(below / below[-1])
