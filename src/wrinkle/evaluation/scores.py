"""Scores of one set of predictions as a table for people."""

from collections.abc import Sequence

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


def score_table(predicted: np.ndarray, rows: pa.Table) -> str:
    """MAE, CS(5), bias and ε-error over all, then by age decade, gender and group.

    Args:
        predicted: (N,) years.
        rows: N rows of a store's `columns`.
    """
    actual = rows["age"].to_numpy()
    lines = [
        f"{len(actual):,} faces: MAE {mean_absolute_error(predicted, actual):.2f} years, "
        f"CS({CUMULATIVE}) {100 * cumulative_score(predicted, actual, CUMULATIVE):.1f} %, "
        f"bias {bias(predicted, actual):+.2f} years"
    ]
    deviation = rows["age_deviation"].to_numpy().astype(float)  # NaN where there is none
    known = deviation > 0
    if known.any():
        error = epsilon_error(predicted[known], actual[known], deviation[known])
        lines.append(f"{known.sum():,} of them with an age deviation: ε-error {error:.3f}")
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


def classifier_table(names: Sequence[str], predicted: np.ndarray, rows: pa.Table) -> str:
    """MAE and bias of each of a model's classifiers.

    Args:
        names: K classifiers.
        predicted: (N, K) years.
        rows: N rows of a store's `columns`.
    """
    actual = rows["age"].to_numpy()
    scores = [
        GroupRow(name, len(actual), mean_absolute_error(guess, actual), bias(guess, actual))
        for name, guess in zip(names, predicted.T, strict=True)
    ]
    return "\n".join(_lines("classifier", scores))


def _lines(title: str, rows: Sequence[GroupRow]) -> list[str]:
    return [title] + [
        f"  {row.group!s:<12}{row.faces:>7,}{row.mean_absolute_error:>8.2f}{row.bias:>+8.2f}"
        for row in rows
    ]
