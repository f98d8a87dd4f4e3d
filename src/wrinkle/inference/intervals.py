"""What a distribution over ages says by itself, without calibration."""

import numpy as np


def central_interval(
    distribution: np.ndarray, ages: np.ndarray, share: float = 0.9
) -> tuple[float, float]:
    """Central interval of a distribution in years, interpolated within an age.

    An age stands for all values nearer to it than to its neighbours; whole ages for [a − ½, a + ½).

    Args:
        distribution: (A,), sums to 1.
        ages: (A,) years, ascending.
        share: of the probability inside, in (0, 1).

    Returns:
        Both ends, within the first and the last age.
    """
    below = _cumulated(distribution)
    low, high = np.interp([(1 - share) / 2, (1 + share) / 2], below, _edges(ages))
    return float(max(low, ages[0])), float(min(high, ages[-1]))


def probability_at_least(distribution: np.ndarray, ages: np.ndarray, age: float) -> float:
    """P(whoever this is has turned `age`), in [0, 1].

    Args:
        distribution: (A,), sums to 1.
        ages: (A,) years, ascending, as people state them: whole years that are completed.
        age: years.
    """
    return float(1 - np.interp(age - 0.5, _edges(ages), _cumulated(distribution)))


def _edges(ages: np.ndarray) -> np.ndarray:
    """(A,) ascending → (A + 1,): the middles between neighbours, the ends half a step outside."""
    inner = (ages[1:] + ages[:-1]) / 2
    first, last = 2 * ages[0] - inner[0], 2 * ages[-1] - inner[-1]
    return np.concatenate([[first], inner, [last]])


def _cumulated(distribution: np.ndarray) -> np.ndarray:
    below = np.concatenate([[0.0], np.cumsum(distribution, dtype=np.float64)])
    return np.asarray(below / below[-1])
