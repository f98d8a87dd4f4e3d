"""Comparison of every pair of several methods on the same faces, with several runs of each."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from wrinkle.errors import WrinkleError
from wrinkle.evaluation.uncertainty import FEWEST, LEVEL, SAMPLES, Estimate, bootstrap, estimate


@dataclass(frozen=True)
class Pairwise:
    """Methods and their differences.

    Attributes:
        mae: of each of M methods, years, mean over its runs.
        difference: (M, M) years, MAE of the row's method − MAE of the column's.
        low, high: (M, M) years, intervals of the differences. All M (M − 1) / 2 of them hold
            together with 95 % confidence.
    """

    mae: list[Estimate]
    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def real(self) -> np.ndarray:
        """(M, M) bool: whether the interval of a difference excludes 0; False without intervals."""
        distinct: np.ndarray = (self.low > 0) | (self.high < 0)
        return distinct


def pairwise(
    errors: Sequence[np.ndarray],
    clusters: Iterable[Hashable] | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Pairwise:
    """Compare methods by their absolute errors on the same faces.

    A bootstrap sample draws faces, or people with all of their faces, the same for all methods, and
    for each method as many of its runs as it has, with replacement. With few runs the spread over
    runs is therefore somewhat underestimated, by the factor (S − 1) / S of the variance for S runs;
    with one run it is not included at all.

    Intervals of MAE are percentiles. Those of differences are simultaneous: ± c standard errors,
    where c is the `LEVEL` quantile of the largest standardised deviation of any pair.

    Args:
        errors: for each method (N, S) years: of N faces, by its S runs.
        clusters: as for `bootstrap`.
        samples: bootstrap samples.
        seed: the same seed gives the same samples.

    Returns:
        The comparison; intervals are NaN with fewer than `FEWEST` faces or a single cluster.

    Raises:
        WrinkleError: no method, or numbers of faces differ.
    """
    if not errors or len({len(each) for each in errors}) != 1:
        raise WrinkleError(
            f"methods are compared on the same faces; given {[len(each) for each in errors]} faces"
        )
    clusters = None if clusters is None else list(clusters)
    drawn = bootstrap(np.hstack(errors), None, clusters, samples, seed)
    random = np.random.default_rng([seed, 1])
    replicates, first = [], 0
    for each in errors:
        runs = each.shape[1]
        chosen = first + random.integers(runs, size=(samples, runs))
        replicates.append(np.take_along_axis(drawn, chosen, 1).mean(1))
        first += runs
    means = np.array([each.mean() for each in errors])
    known = len(errors[0]) >= FEWEST and (clusters is None or len(set(clusters)) > 1)
    nothing = [Estimate(float(mean), np.nan, np.nan) for mean in means]
    mae = [estimate(float(m), r) for m, r in zip(means, replicates, strict=True)]
    low, high = _simultaneous(means, np.stack(replicates, 1))
    if not known:
        low, high = np.full_like(low, np.nan), np.full_like(high, np.nan)
    return Pairwise(mae if known else nothing, means[:, None] - means, low, high)


def _simultaneous(means: np.ndarray, replicates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the simultaneous intervals of all differences, (M, M) each."""
    difference = means[:, None] - means
    deviations = replicates[:, :, None] - replicates[:, None] - difference
    error = deviations.std(0, ddof=1)
    standardised = np.abs(deviations) / np.where(error > 0, error, np.inf)
    c = np.quantile(standardised.max((1, 2)), LEVEL)
    return difference - c * error, difference + c * error
