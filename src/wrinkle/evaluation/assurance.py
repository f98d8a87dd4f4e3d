"""Age assurance: error rates when an estimated age decides who must show a document.

Rates as NIST reports them (Hanaoka, Ngan, Yang, Quinn, Hom, Grother, "Face Analysis Technology
Evaluation: Age Estimation and Verification", NIST IR 8525, 2024): under "Challenge T", people with
an estimated age below T must show a document. The false positive rate is the share of too young
people who are estimated at T or older, the true positive rate the share of old enough people.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wrinkle.console import count
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.predictions import Predictions
from wrinkle.evaluation.proportions import shares
from wrinkle.evaluation.scores import clusters, percent
from wrinkle.evaluation.uncertainty import Estimate


@dataclass(frozen=True)
class Challenge:
    """Rates in [0, 1] at one threshold in years, with Clopper and Pearson's 95 % intervals.

    Rates are NaN without faces, intervals with fewer than five.
    """

    threshold: float
    false_positive_rate: Estimate
    true_positive_rate: Estimate


def challenge(
    predictions: Predictions,
    thresholds: Sequence[float],
    too_young: tuple[int, int] = (14, 17),
    old_enough: tuple[int, int] = (18, 30),
) -> list[Challenge]:
    """Rates at each threshold.

    Args:
        thresholds: years.
        too_young, old_enough: first and last age, in whole years, of the people in the false and in
            the true positive rate. 14 to 17 is NIST's range. Where only a range is known, all of it
            must be within.

    Raises:
        WrinkleError: a range is empty, the ranges overlap, or no face is within them.
    """
    for first, last in (too_young, old_enough):
        if not 0 <= first <= last:
            raise WrinkleError(f"ages {first} to {last} are not a range")
    if too_young[1] >= old_enough[0]:
        raise WrinkleError(
            f"ages {too_young[0]} to {too_young[1]} overlap with {old_enough[0]} to {old_enough[1]}"
        )
    young, old = (_within(predictions, ages) for ages in (too_young, old_enough))
    if not (young | old).any():
        raise WrinkleError(
            f"no face is {too_young[0]} to {too_young[1]} or {old_enough[0]} to {old_enough[1]} "
            "years old"
        )
    passes = predictions.predicted[:, None] >= np.asarray(thresholds, np.float64)
    count = len(thresholds)
    members = np.stack([young] * count + [old] * count, 1)
    found = shares(np.hstack([passes, passes]), members, clusters(predictions))
    return [
        Challenge(float(t), fpr, tpr)
        for t, fpr, tpr in zip(thresholds, found[:count], found[count:], strict=True)
    ]


def challenge_table(
    predictions: Predictions,
    thresholds: Sequence[float],
    too_young: tuple[int, int] = (14, 17),
    old_enough: tuple[int, int] = (18, 30),
) -> str:
    """`challenge` as a text table."""
    counts = [int(_within(predictions, ages).sum()) for ages in (too_young, old_enough)]
    lines = [
        f"estimated at T or older: {count(counts[0], 'face')} of {too_young[0]} to {too_young[1]} "
        f"years (false positives), {counts[1]:,} of {old_enough[0]} to {old_enough[1]} "
        "(true positives)",
        "",
        f"{'Challenge T':<14}{'FPR %':>8}{'95 %':>14}{'TPR %':>9}{'95 %':>14}",
    ]
    for row in challenge(predictions, thresholds, too_young, old_enough):
        cells = [
            f"{100 * rate.value:.1f}{percent(rate):>14}"
            for rate in (row.false_positive_rate, row.true_positive_rate)
        ]
        lines.append(f"  {row.threshold:<12g}{cells[0]:>22}{cells[1]:>23}")
    return "\n".join(lines)


def _within(predictions: Predictions, ages: tuple[int, int]) -> np.ndarray:
    """Which faces are surely of these ages, (N,) bool."""
    years, ranges = np.floor(predictions.actual), predictions.ranges
    low, high = (np.where(np.isnan(years), end, years) for end in ranges.T)
    inside: np.ndarray = (ages[0] <= low) & (high <= ages[1])
    return inside
