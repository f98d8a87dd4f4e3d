"""Scores of a run's finished folds: the row of a run in a table."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from wrinkle.evaluation.predictions import Predictions
from wrinkle.evaluation.proportions import shares
from wrinkle.evaluation.range_scores import RangeScore, score_all_ranges
from wrinkle.evaluation.scores import CUMULATIVE, clusters, known_people, subsets
from wrinkle.evaluation.uncertainty import Estimate, estimates
from wrinkle.models import create_model
from wrinkle.runs.reader import Run


class OverFolds(NamedTuple):
    """Mean over folds and their sample standard deviation; None for a single fold."""

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class RunScores:
    """Scores of a run, or of its pictures of one store.

    Attributes:
        run: the run.
        store: the name of the store; empty: all pictures.
        pictures: that were tested.
        mae: over all tested pictures of known age, years; None without any. All estimates have 95 %
            intervals, NaN with fewer than five pictures; for means also where there is one person
            only.
        mae_over_folds: years; None for one store, and without known ages.
        cs5, cs5_over_folds: per cent.
        epsilon: ε-error in [0, 1]; None where no label has a deviation.
        ranges: scores on the pictures of which only a range is known; None without any.
        drawn: what the bootstrap draws, in words.
        parameters: of the network.
    """

    run: Run
    store: str
    pictures: int
    mae: Estimate | None
    mae_over_folds: OverFolds | None
    cs5: Estimate | None
    cs5_over_folds: OverFolds | None
    epsilon: Estimate | None
    ranges: RangeScore | None
    drawn: str
    parameters: int


def score_run(run: Run) -> list[RunScores]:
    """Scores over all tested pictures and over folds, then on each store if there are several."""
    drawn, parameters = _drawn(run), _parameters(run)
    over_folds = [
        _over_folds([r.mae for r in run.results if r.mae is not None]),
        _over_folds([100 * r.cs5 for r in run.results if r.cs5 is not None]),
    ]
    found = []
    for column, value, inside in subsets(run.predictions):
        if column not in ("", "store"):
            break
        part = run.predictions.take(np.flatnonzero(inside))
        mae, cs5, epsilon = _estimates(part.exact())
        ranges = score_all_ranges(part) if len(part.ranged().predicted) else None
        found.append(
            RunScores(
                run,
                value if column else "",
                len(part.predicted),
                mae,
                None if column else over_folds[0],
                cs5,
                None if column else over_folds[1],
                epsilon,
                ranges,
                drawn,
                parameters,
            )
        )
    return found


def _estimates(
    tested: Predictions,
) -> tuple[Estimate | None, Estimate | None, Estimate | None]:
    """MAE in years, CS(5) in per cent and ε-error on pictures of known age."""
    if not len(tested.predicted):
        return None, None, None
    error = np.abs(tested.predicted - tested.actual)
    deviation = tested.rows["age_deviation"].to_numpy().astype(float)  # NaN: the label has none
    known = deviation > 0
    epsilon = -np.expm1(-0.5 * (error / np.where(known, deviation, 1)) ** 2)
    members = np.stack([np.ones(len(error), bool), known], 1)
    # A picture that several folds test is drawn with all of its errors.
    drawn = clusters(tested)
    means = estimates(np.stack([error, epsilon], 1), members, drawn)
    (share,) = shares((error <= CUMULATIVE)[:, None], None, drawn)
    cs5 = Estimate(*(100 * each for each in share))
    return means[0], cs5, means[1] if known.any() else None


def _over_folds(values: list[float]) -> OverFolds | None:
    if not values:
        return None
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return OverFolds(float(np.mean(values)), deviation)


def _drawn(run: Run) -> str:
    if run.store is None:
        return f"pictures ({', '.join(run.recipe.data.files)} is missing or has changed)"
    return "people" if known_people(run.predictions) else "pictures (the people are not known)"


def _parameters(run: Run) -> int:
    recipe = run.recipe
    fields = {**recipe.model.fields, "input_size": recipe.input.size}
    return sum(p.numel() for p in create_model(recipe.model.name, **fields).parameters())
