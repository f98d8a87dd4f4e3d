"""Scores of one set of predictions as a table for people."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from wrinkle.evaluation.metrics import (
    GroupRow,
    age_decades,
    bias,
    by_group,
    cumulative_score,
    epsilon_error,
    mean_absolute_error,
)

CUMULATIVE = 5
"""Years: the field reports CS(5)."""


def overall(predicted: Any, actual: Any, deviation: Any | None = None) -> dict[str, float]:
    """MAE and bias in years, CS(5) in [0, 1], and the ε-error where labels carry deviations."""
    scores = {
        "mae": mean_absolute_error(predicted, actual),
        "bias": bias(predicted, actual),
        f"cs{CUMULATIVE}": cumulative_score(predicted, actual, CUMULATIVE),
    }
    if deviation is not None:
        scores["epsilon"] = epsilon_error(predicted, actual, deviation)
    return scores


def score_table(predicted: np.ndarray, rows: pa.Table) -> str:
    """MAE, CS(5), bias and ε-error over all, then by age decade, gender and group.

    Args:
        predicted: (N,) years.
        rows: N rows of a store's `columns`.
    """
    actual = rows["age"].to_numpy()
    deviation = rows["age_deviation"]
    scores = overall(predicted, actual, None if deviation.null_count else deviation.to_numpy())
    lines = [
        f"{len(actual):,} faces: MAE {scores['mae']:.2f} years, CS({CUMULATIVE}) "
        f"{100 * scores[f'cs{CUMULATIVE}']:.1f} %, bias {scores['bias']:+.2f} years"
    ]
    if "epsilon" in scores:
        lines[0] += f", ε-error {scores['epsilon']:.3f}"
    lines += ["", f"{'':<14}{'faces':>7}{'MAE':>8}{'bias':>8}"]
    order = np.argsort(actual, kind="stable")
    decades = np.array(age_decades(actual))
    lines += _lines("age", by_group(predicted[order], actual[order], decades[order].tolist()))
    for column in ("gender", "group"):
        names = [name or "unknown" for name in rows[column].to_pylist()]
        if set(names) != {"unknown"}:
            groups = by_group(predicted, actual, names)
            lines += _lines(column, sorted(groups, key=lambda row: -row.faces))
    return "\n".join(lines)


def _lines(title: str, rows: Sequence[GroupRow]) -> list[str]:
    return [title] + [
        f"  {row.group!s:<12}{row.faces:>7,}{row.mean_absolute_error:>8.2f}{row.bias:>+8.2f}"
        for row in rows
    ]
