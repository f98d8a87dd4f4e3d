"""Clopper–Pearson intervals of shares of faces.

A share of 0 or 1 has the same value in every bootstrap sample, so the bootstrap gives it an
interval of zero width. Clopper and Pearson's interval (Biometrika 26, 1934) does not.

Pictures of one person are similar. Where people are known, the number of faces is divided by the
design effect, the ratio of the variance over people to that over independent faces (Korn,
Graubard, Survey Methodology 24, 1998).
"""

import math
from collections.abc import Hashable, Iterable

import numpy as np

from wrinkle.evaluation.uncertainty import FEWEST, LEVEL, Estimate, cluster_numbers

STEPS = 40
"""Halvings of the range [0, 1] that a bound is searched in."""


def shares(
    values: np.ndarray,
    members: np.ndarray | None = None,
    clusters: Iterable[Hashable] | None = None,
) -> list[Estimate]:
    """The share of members for which each column of `values` holds, with its interval.

    Args:
        values: (N, M) bool.
        members: (N, M) bool: which faces count in each column; None: all.
        clusters: the person of each face, N of them; None: every face is of another person.

    Returns:
        M estimates in [0, 1]; intervals are NaN with fewer than `FEWEST` members.
    """
    values = np.asarray(values, bool)
    members = np.ones(values.shape, bool) if members is None else np.asarray(members, bool)
    numbers = np.arange(len(values)) if clusters is None else cluster_numbers(clusters)
    return [_share(v[m], numbers[m]) for v, m in zip(values.T, members.T, strict=True)]


def _share(values: np.ndarray, numbers: np.ndarray) -> Estimate:
    if not len(values):
        return Estimate(math.nan, math.nan, math.nan)
    share = float(values.mean())
    if len(values) < FEWEST:
        return Estimate(share, math.nan, math.nan)
    return Estimate(share, *clopper_pearson(share, effective_number(values, numbers)))


def effective_number(values: np.ndarray, numbers: np.ndarray) -> float:
    """The number of independent faces that tell as much as these.

    Args:
        values: (n,) bool.
        numbers: (n,) the number of each face's person.

    Returns:
        n divided by the design effect, from 1 to n; the number of people where the design effect
        is not known, because all values are equal or there is one person only.
    """
    people, codes = np.unique(numbers, return_inverse=True)
    share = values.mean()
    if len(people) == 1 or share in (0, 1):
        return float(len(people))
    residuals = np.bincount(codes, values - share)
    variance = (residuals**2).sum() / len(values) ** 2
    independent = share * (1 - share)
    if independent >= len(values) * variance:
        return float(len(values))
    return max(1.0, float(independent / variance))


def clopper_pearson(share: float, number: float, level: float = LEVEL) -> tuple[float, float]:
    """Return both ends of the interval of a share.

    Args:
        share: observed, in [0, 1].
        number: of independent faces; need not be whole.
        level: of the interval.
    """
    hits = share * number
    tail = (1 - level) / 2
    low = 0.0 if share == 0 else _beta_quantile(tail, hits, number - hits + 1)
    high = 1.0 if share == 1 else _beta_quantile(1 - tail, hits + 1, number - hits)
    return low, high


def _beta_quantile(probability: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _beta_distribution(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta_distribution(x: float, a: float, b: float) -> float:
    """P(X ≤ x) of a beta distribution, by its continued fraction (DLMF 8.17.22)."""
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast below this
        return 1 - _beta_distribution(1 - x, b, a)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(scale + a * math.log(x) + b * math.log1p(-x)) / a
    # Lentz's method, as in Numerical Recipes, section 6.4.
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d, c = 1 / (1 + term * d), 1 + term / c
            value *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return front * value
