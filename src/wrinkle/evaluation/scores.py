"""Scores of systems with their uncertainty, as records and as text tables."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wrinkle.console import count
from wrinkle.evaluation.metrics import age_decades, bias, epsilon_error, mean_absolute_error
from wrinkle.evaluation.predictions import INTERVAL, Predictions
from wrinkle.evaluation.proportions import shares
from wrinkle.evaluation.uncertainty import Estimate, compare, estimates

CUMULATIVE = 5
"""Years: the field reports CS(5)."""
COLUMNS = ("store", "age", "gender", "group")
"""Labels whose values are scored separately; age by decade, or by range where only that is known.
Faces of several stores have the column "store"."""
MOST_RANGES = 20
"""With more different ranges than this, faces are scored by the decade of their middle."""


@dataclass(frozen=True)
class Score:
    """Scores on some of the faces whose age is known.

    Attributes:
        column, value: which faces; ("", "all") for all of them.
        faces: how many.
        people: how many, where people are known; each face without a known person counts as one.
        mae, bias: years.
        cs5: share with an error of at most 5 years, in [0, 1].
        coverage: share of the ages within the system's interval, in [0, 1]; None where it gives
            none.
    """

    column: str
    value: str
    faces: int
    people: int | None
    mae: Estimate
    bias: Estimate
    cs5: Estimate
    coverage: Estimate | None


def score(predictions: Predictions) -> list[Score]:
    """Scores over all faces whose age is known, then by store, age decade, gender and group.

    Faces of which only a range is known have scores of their own (`range_scores.score_ranges`).
    Estimates have 95 % intervals. Those of MAE and bias are from a bootstrap that draws people
    where they are known, else pictures; those of CS(5) and coverage are Clopper and Pearson's.
    Parts of fewer than five faces have none (NaN).

    Returns:
        The scores; empty where no age is known.
    """
    exact = predictions.exact()
    return _score(exact, list(subsets(exact))) if len(exact.predicted) else []


def score_all(predictions: Predictions) -> Score:
    """The first row of `score` alone; some age must be known."""
    exact = predictions.exact()
    return _score(exact, [next(subsets(exact))])[0]


def _score(predictions: Predictions, parts: list[tuple[str, str, np.ndarray]]) -> list[Score]:
    error = predictions.predicted - predictions.actual
    members = np.stack([inside for _, _, inside in parts], 1)
    people, drawn = known_people(predictions), clusters(predictions)

    def of_parts(values: np.ndarray) -> np.ndarray:
        return np.repeat(values[:, None], len(parts), 1)

    means = estimates(
        np.hstack([of_parts(np.abs(error)), of_parts(error)]), np.tile(members, 2), drawn
    )
    cs5 = shares(of_parts(np.abs(error) <= CUMULATIVE), members, drawn)
    coverage: Sequence[Estimate | None] = [None] * len(parts)
    if predictions.interval is not None:
        low, high = predictions.interval.T
        within = (low <= predictions.actual) & (predictions.actual <= high)
        coverage = shares(of_parts(within), members, drawn)
    scores = []
    for number, (column, value, inside) in enumerate(parts):
        mae, mean_bias = means[number], means[len(parts) + number]
        found = (mae, mean_bias, cs5[number], coverage[number])
        scores.append(Score(column, value, int(inside.sum()), people_in(people, inside), *found))
    return scores


def subsets(predictions: Predictions) -> Iterator[tuple[str, str, np.ndarray]]:
    """(column, value, (N,) bool): all faces, then each value of `COLUMNS` that occurs.

    Args:
        predictions: for faces of known age, or for faces of which only a range is known.
    """
    yield "", "all", np.ones(len(predictions.predicted), bool)
    ages, first = _age_groups(predictions)
    for column in COLUMNS:
        if column == "age":
            values = ages
        elif column in predictions.rows.column_names:
            names = [name or "unknown" for name in predictions.rows[column].to_pylist()]
            if set(names) == {"unknown"}:
                continue
            values = np.array(names)
        else:
            continue
        present, counts = np.unique(values, return_counts=True)
        order = (
            np.argsort([first[values == v].min() for v in present], kind="stable")
            if column == "age"
            else np.argsort(-counts, kind="stable")
        )
        for value in present[order]:
            yield column, str(value), values == value


def _age_groups(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """The decade or range of each face in words, (N,), and the years that they are sorted by."""
    actual, ranges = predictions.actual, predictions.ranges
    ages = np.where(np.isnan(actual), ranges.mean(1), actual)
    if not np.isnan(actual).all() or len(np.unique(ranges, axis=0)) > MOST_RANGES:
        return np.array(age_decades(ages)), ages
    return np.array([f"{low:g}–{high:g}" for low, high in ranges]), ages


def people_in(people: Sequence[str | None] | None, inside: np.ndarray) -> int | None:
    """How many of `people` are in a part, (N,) bool; each face without one counts as one."""
    if people is None:
        return None
    here = [people[i] for i in np.flatnonzero(inside).tolist()]
    return len(set(here) - {None}) + here.count(None)


def known_people(predictions: Predictions) -> list[str | None] | None:
    """The person in each picture, with the dataset; None where no person is known."""
    people = predictions.rows["person"].to_pylist()
    if not any(people):
        return None
    sources = predictions.rows["source"].to_pylist()
    return [p and f"{s} {p}" for s, p in zip(sources, people, strict=True)]


def clusters(predictions: Predictions) -> list[str]:
    """What the bootstrap draws: the person in each picture, else the picture, which several folds
    may test."""
    people = known_people(predictions) or [None] * len(predictions.predicted)
    names = predictions.rows["name"].to_pylist()
    return [person or f"picture {name}" for person, name in zip(people, names, strict=True)]


def score_table(predictions: Predictions, rows: Sequence[Score] | None = None) -> str:
    """Scores of the faces of known age as text, with the ε-error where labels have a deviation.

    Args:
        predictions: some age must be known.
        rows: `score` of the predictions, where it is known already.
    """
    predictions = predictions.exact()
    rows = rows or score(predictions)
    lines = [_headline(predictions, rows[0])]
    deviation = predictions.rows["age_deviation"].to_numpy().astype(float)  # NaN: there is none
    known = deviation > 0
    if known.any():
        error = epsilon_error(
            predictions.predicted[known], predictions.actual[known], deviation[known]
        )
        lines.append(f"{known.sum():,} of them with an age deviation: ε-error {error:.3f}")
    with_coverage = rows[0].coverage is not None
    head = f"{'':<14}{'faces':>7}{'MAE':>8}{'95 %':>16}{'bias':>8}{f'CS({CUMULATIVE}) %':>9}"
    lines += ["", head + (f"{'coverage %':>12}" if with_coverage else "")]
    column = ""
    for row in rows[1:]:
        if row.column != column:
            column = row.column
            lines.append(column)
        between = ends(row.mae)
        line = (
            f"  {row.value:<12}{row.faces:>7,}{row.mae.value:>8.2f}{between:>16}"
            f"{row.bias.value:>+8.2f}{100 * row.cs5.value:>9.1f}"
        )
        lines.append(line + (f"{100 * row.coverage.value:>12.1f}" if row.coverage else ""))
    return "\n".join(lines)


def _headline(predictions: Predictions, row: Score) -> str:
    people = "" if row.people is None else f" of {count(row.people, 'person', 'people')}"
    text = (
        f"{count(row.faces, 'face')}{people}: MAE {row.mae.value:.2f} years "
        f"(95 %: {ends(row.mae)}), "
        f"CS({CUMULATIVE}) {100 * row.cs5.value:.1f} % ({percent(row.cs5)}), "
        f"bias {row.bias.value:+.2f} years ({ends(row.bias, '{:+.2f} to {:+.2f}')})"
    )
    if row.coverage is None or predictions.interval is None:
        return text
    width = float(np.diff(predictions.interval, axis=1).mean())
    return (
        f"{text}\n{100 * INTERVAL:.0f} % intervals contain {100 * row.coverage.value:.1f} % of the "
        f"ages ({percent(row.coverage)}); mean width "
        f"{width:.1f} years"
    )


def ends(estimate: Estimate, form: str = "{:.2f}–{:.2f}") -> str:
    """Both ends of an interval; a dash where there is none."""
    return "–" if math.isnan(estimate.low) else form.format(estimate.low, estimate.high)


def percent(estimate: Estimate) -> str:
    """Both ends of the interval of a share, in per cent; a dash where there is none."""
    return ends(Estimate(*(100 * share for share in estimate)), "{:.1f}–{:.1f}")


def comparison_table(systems: Sequence[Predictions]) -> str:
    """Several systems on the same faces, each compared with the first in pairs.

    Args:
        systems: as from `in_common`. Faces of which only a range is known are left out.
    """
    systems = [system.exact() for system in systems]
    faces = len(systems[0].predicted)
    shared = f"{count(faces, 'face')} that all systems have"
    lines = [f"{shared}; differences to {systems[0].system}", ""]
    width = max(len(each.system) for each in systems) + 2
    lines.append(
        f"{'':<{width}}{'MAE':>8}{'95 %':>16}{'bias':>8}{'CS(5) %':>9}"
        f"{'difference':>12}{'95 %':>18}{'p':>8}{'closer %':>10}"
    )
    for system in systems:
        row = score_all(system)
        line = (
            f"{system.system:<{width}}{row.mae.value:>8.2f}"
            f"{ends(row.mae):>16}"
            f"{row.bias.value:>+8.2f}{100 * row.cs5.value:>9.1f}"
        )
        if system is not systems[0]:
            found = compare(system.predicted, systems[0].predicted, system.actual, clusters(system))
            line += (
                f"{found.difference.value:>+12.2f}"
                f"{ends(found.difference, '{:+.2f} to {:+.2f}'):>18}"
                f"{'–' if math.isnan(found.p) else f'{found.p:.3g}':>8}{100 * found.wins:>10.1f}"
            )
        lines.append(line)
    return "\n".join(lines)


def classifier_table(classifiers: Mapping[str, np.ndarray], actual: np.ndarray) -> str:
    """MAE and bias of each classifier of a model.

    Args:
        classifiers: name → (N,) years.
        actual: (N,) years; NaN: not known, left out.
    """
    known = ~np.isnan(actual)
    classifiers, actual = {name: ages[known] for name, ages in classifiers.items()}, actual[known]
    lines = [f"{'classifier':<14}{'faces':>7}{'MAE':>8}{'bias':>8}"]
    for name, predicted in classifiers.items():
        mae, mean = mean_absolute_error(predicted, actual), bias(predicted, actual)
        lines.append(f"  {name:<12}{len(actual):>7,}{mae:>8.2f}{mean:>+8.2f}")
    return "\n".join(lines)
