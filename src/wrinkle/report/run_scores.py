"""Scores of a run's finished folds: the row of a run in a table."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from wrinkle.evaluation.predictions import Predictions
from wrinkle.evaluation.proportions import shares
from wrinkle.evaluation.scores import CUMULATIVE, clusters, known_people
from wrinkle.evaluation.uncertainty import Estimate, estimates
from wrinkle.models import create_model
from wrinkle.runs.reader import Run


class OverFolds(NamedTuple):
    """Mean over folds and their sample standard deviation; None for a single fold."""

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class RunScores:
    """Scores of a run.

    Attributes:
        run: the run.
        mae: over all tested pictures, years. All estimates have 95 % intervals, NaN with fewer than
            five pictures; for means also where there is one person only.
        mae_over_folds: years.
        cs5, cs5_over_folds: per cent.
        epsilon: ε-error in [0, 1]; None where no label has a deviation.
        drawn: what the bootstrap draws, in words.
        parameters: of the network.
    """

    run: Run
    mae: Estimate
    mae_over_folds: OverFolds
    cs5: Estimate
    cs5_over_folds: OverFolds
    epsilon: Estimate | None
    drawn: str
    parameters: int


def score_run(run: Run) -> RunScores:
    """Scores over all tested pictures and over folds."""
    mae, cs5, epsilon = _estimates(run.predictions)
    return RunScores(
        run,
        mae,
        _over_folds([result.mae for result in run.results]),
        cs5,
        _over_folds([100 * result.cs5 for result in run.results]),
        epsilon,
        _drawn(run),
        _parameters(run),
    )


def _estimates(tested: Predictions) -> tuple[Estimate, Estimate, Estimate | None]:
    """MAE in years, CS(5) in per cent and ε-error."""
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


def _over_folds(values: list[float]) -> OverFolds:
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
