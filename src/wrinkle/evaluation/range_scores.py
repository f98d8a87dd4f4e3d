"""Scores on faces of which only a range of ages is known, such as 20–29.

Ranges are of whole years, as ages are counted (completed years), and a model that is trained on
such labels answers on the same scale: 29.4 is nearest to the label 29. So an estimate is in a range
if the whole year nearest to it is, that is from half a year below the first year to just below half
a year above the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wrinkle.console import count
from wrinkle.datasets.rows import distance_to_range
from wrinkle.evaluation.predictions import INTERVAL, Predictions
from wrinkle.evaluation.proportions import shares
from wrinkle.evaluation.scores import clusters, ends, known_people, people_in, percent, subsets
from wrinkle.evaluation.uncertainty import Estimate, compare_errors, estimates

CHILD, ADULT = 10, 18
"""Years: faces labelled entirely below the first should not be estimated at the second or above."""


@dataclass(frozen=True)
class RangeScore:
    """Scores on some of the faces of which only a range is known.

    Attributes:
        column, value: which faces; ("", "all") for all of them.
        faces: how many.
        people: how many, where people are known; each face without a known person counts as one.
        inside: share of the estimates in the range, in [0, 1].
        near: share of the estimates in the range or in the next one below or above it.
        distance: mean distance of the estimate to the range, years, 0 within it.
        coverage: share of the faces whose interval overlaps the range; None where the system gives
            no interval. An interval that holds the age always does, so this is an upper bound of
            the coverage of ages.
        children: share of the faces labelled entirely below 10 years that are estimated at 18 or
            above; None where there are none.
    """

    column: str
    value: str
    faces: int
    people: int | None
    inside: Estimate
    near: Estimate
    distance: Estimate
    coverage: Estimate | None
    children: Estimate | None


def score_ranges(predictions: Predictions) -> list[RangeScore]:
    """Scores over all faces of which only a range is known, then by store, range, gender and group.

    Estimates have 95 % intervals, as in `wrinkle.evaluation.scores.score`.

    Returns:
        The scores; empty where the age of every face is known.
    """
    ranged = predictions.ranged()
    return _score(ranged, list(subsets(ranged))) if len(ranged.predicted) else []


def score_all_ranges(predictions: Predictions) -> RangeScore:
    """The first row of `score_ranges` alone; of some face only a range must be known."""
    ranged = predictions.ranged()
    return _score(ranged, [next(subsets(ranged))])[0]


def _score(predictions: Predictions, parts: list[tuple[str, str, np.ndarray]]) -> list[RangeScore]:
    members = np.stack([inside for _, _, inside in parts], 1)
    people, drawn = known_people(predictions), clusters(predictions)
    ranges = predictions.ranges

    def of_parts(values: np.ndarray) -> np.ndarray:
        return np.repeat(values[:, None], len(parts), 1)

    def share(values: np.ndarray, of: np.ndarray = members) -> list[Estimate]:
        return shares(of_parts(values), of, drawn)

    inside = share(in_range(predictions.predicted, ranges))
    near = share(in_range(predictions.predicted, with_neighbours(predictions)))
    distance = estimates(of_parts(distance_to_range(predictions.predicted, ranges)), members, drawn)
    coverage: Sequence[Estimate | None] = [None] * len(parts)
    if predictions.interval is not None:
        low, high = predictions.interval.T
        coverage = share((low <= ranges[:, 1]) & (high >= ranges[:, 0]))
    young = members & (ranges[:, 1] < CHILD)[:, None]
    children = share(predictions.predicted >= ADULT, young)
    return [
        RangeScore(
            *(column, value, int(those.sum()), people_in(people, those)),
            *(inside[k], near[k], distance[k], coverage[k]),
            children[k] if young[:, k].any() else None,
        )
        for k, (column, value, those) in enumerate(parts)
    ]


def in_range(ages: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Whether the whole year nearest to each age is in its range, (N,) bool.

    Args:
        ages: (N,) years; half a year is rounded up.
        ranges: (N, 2) whole years, inclusive.

    >>> in_range(np.array([29.4, 29.5]), np.array([[20, 29], [20, 29]]))
    array([ True, False])
    """
    nearest = np.floor(ages + 0.5)
    within: np.ndarray = (ranges[:, 0] <= nearest) & (nearest <= ranges[:, 1])
    return within


def with_neighbours(predictions: Predictions) -> np.ndarray:
    """Each face's range, widened to the next one below and above it, (N, 2) years.

    The groups are the ranges that occur among the faces of its dataset. Next below is the one that
    ends last of those that end before it begins; next above likewise.
    """
    ranges = predictions.ranges
    sources = np.array([s or "" for s in predictions.rows["source"].to_pylist()])
    widened = ranges.copy()
    for source in np.unique(sources):
        own = sources == source
        groups, number = np.unique(ranges[own], axis=0, return_inverse=True)
        widened[own] = np.array([_widened(group, groups) for group in groups])[number.ravel()]
    return widened


def _widened(group: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    low, high = group
    below, above = groups[groups[:, 1] < low], groups[groups[:, 0] > high]
    # Of several that are as near, the longest.
    first = below[below[:, 1] == below[:, 1].max(), 0].min() if len(below) else low
    last = above[above[:, 0] == above[:, 0].min(), 1].max() if len(above) else high
    return first, last


def range_table(predictions: Predictions, rows: Sequence[RangeScore] | None = None) -> str:
    """Scores of the faces of which only a range is known, as text.

    Args:
        predictions: of some face only a range must be known.
        rows: `score_ranges` of the predictions, where it is known already.
    """
    rows = rows or score_ranges(predictions)
    lines = [_headline(rows[0])]
    head = f"{'':<14}{'faces':>7}{'in range %':>12}{'95 %':>14}{'± 1 group %':>13}{'distance':>10}"
    lines += ["", head + (f"{'overlap %':>11}" if rows[0].coverage is not None else "")]
    column = ""
    for row in rows[1:]:
        if row.column != column:
            column = row.column
            lines.append("range" if column == "age" else column)
        line = (
            f"  {row.value:<12}{row.faces:>7,}{100 * row.inside.value:>12.1f}"
            f"{percent(row.inside):>14}{100 * row.near.value:>13.1f}{row.distance.value:>10.2f}"
        )
        lines.append(line + (f"{100 * row.coverage.value:>11.1f}" if row.coverage else ""))
    return "\n".join(lines)


def _headline(row: RangeScore) -> str:
    people = "" if row.people is None else f" of {count(row.people, 'person', 'people')}"
    faces = f"{count(row.faces, 'face')}{people} with a range of ages"
    text = (
        f"{faces}: {100 * row.inside.value:.1f} % in the range ({percent(row.inside)}), "
        f"{100 * row.near.value:.1f} % within one group ({percent(row.near)}), "
        f"distance {row.distance.value:.2f} years ({ends(row.distance)})"
    )
    if row.coverage is not None:
        text += (
            f"\n{100 * INTERVAL:.0f} % intervals overlap {100 * row.coverage.value:.1f} % of the "
            f"ranges ({percent(row.coverage)})"
        )
    if row.children is not None:
        text += (
            f"\n{100 * row.children.value:.1f} % ({percent(row.children)}) of the children labelled"
            f" below {CHILD} years are estimated at {ADULT} or above"
        )
    return text


def range_comparison(systems: Sequence[Predictions]) -> str:
    """Several systems on the same faces with ranges, each compared with the first in pairs.

    Args:
        systems: as from `in_common`.
    """
    systems = [system.ranged() for system in systems]
    faces = count(len(systems[0].predicted), "face")
    width = max(len(each.system) for each in systems) + 2
    lines = [f"{faces} with a range that all systems have; differences to {systems[0].system}", ""]
    lines.append(
        f"{'':<{width}}{'in range %':>12}{'± 1 group %':>13}{'distance':>10}{'difference':>12}"
        f"{'95 %':>18}"
    )
    for system in systems:
        row = score_all_ranges(system)
        line = (
            f"{system.system:<{width}}{100 * row.inside.value:>12.1f}{100 * row.near.value:>13.1f}"
            f"{row.distance.value:>10.2f}"
        )
        if system is not systems[0]:
            errors = [
                distance_to_range(each.predicted, each.ranges) for each in (system, systems[0])
            ]
            found = compare_errors(errors[0], errors[1], clusters(system)).difference
            line += f"{found.value:>+12.2f}{ends(found, '{:+.2f} to {:+.2f}'):>18}"
        lines.append(line)
    return "\n".join(lines)
