"""Metrics of predicted ages, in years.

Every argument may be a sequence, a NumPy array or a tensor on any device, with one number per face.

Every function raises WrinkleError for empty arguments, NaN, infinity, and different lengths."""

from collections.abc import Hashable, Iterable, Sized
from typing import Any, NamedTuple

import numpy as np

from wrinkle.errors import WrinkleError


class GroupRow(NamedTuple):
    """Scores of one group of faces; both errors in years."""

    group: Hashable
    faces: int
    mean_absolute_error: float
    bias: float


def mean_absolute_error(predicted: Any, actual: Any) -> float:
    """Mean absolute error: mean |predicted − actual|, in years.

    >>> mean_absolute_error([20, 33], [21, 30])
    2.0
    """
    return float(np.abs(_errors(predicted, actual)).mean())


def bias(predicted: Any, actual: Any) -> float:
    """Mean of predicted − actual, in years; positive where predictions are too old.

    >>> bias([20, 33], [21, 30])
    1.0
    """
    return float(_errors(predicted, actual).mean())


def cumulative_score(predicted: Any, actual: Any, v: float) -> float:
    """CS(v): share of faces with |error| ≤ v years, in [0, 1]. Papers print it in per cent.

    Raises:
        WrinkleError: also where v is negative or NaN.

    >>> cumulative_score([20, 33], [21, 30], v=1)
    0.5
    """
    if not v >= 0:
        raise WrinkleError(f"v is {v}; a cumulative score needs a number of years of at least 0")
    return float((np.abs(_errors(predicted, actual)) <= v).mean())


def epsilon_error(predicted: Any, actual: Any, deviation: Any) -> float:
    """ε-error of ChaLearn LAP: mean of 1 − exp(−(x − μ)² / 2σ²), in [0, 1], 0 is best.

    Args:
        predicted: x, years.
        actual: μ, the mean of the votes on each face, years.
        deviation: σ, the standard deviation of the votes on each face, years.

    Raises:
        WrinkleError: also where a deviation is not above 0, because the error is undefined there.

    >>> round(epsilon_error([20], [22], [2]), 4)  # 1 − e^(−1/2)
    0.3935
    """
    error, sigma = _errors(predicted, actual), _numbers(deviation, "deviation")
    _same_length(sigma, error, "deviations")
    if not (sigma > 0).all():
        raise WrinkleError(
            f"deviation {np.flatnonzero(sigma <= 0)[0]} is not above 0 years; "
            "the ε-error is undefined there: leave out such faces"
        )
    # −expm1 keeps small errors that 1 − exp would round away.
    return float(-np.expm1(-0.5 * (error / sigma) ** 2).mean())


def by_group(predicted: Any, actual: Any, groups: Iterable[Hashable]) -> list[GroupRow]:
    """MAE and bias of each group of faces, in the order of each group's first face.

    Args:
        groups: the group of each face.
    """
    error = _errors(predicted, actual)
    members: dict[Hashable, list[int]] = {}
    names = list(groups)
    _same_length(names, error, "groups")
    for index, name in enumerate(names):
        members.setdefault(name, []).append(index)
    return [
        GroupRow(name, len(rows), float(np.abs(error[rows]).mean()), float(error[rows].mean()))
        for name, rows in members.items()
    ]


def age_decades(actual: Any) -> list[str]:
    """The decade of each age as a label for `by_group`: "0–9", "10–19", …

    Raises:
        WrinkleError: also for a negative age.
    """
    ages = _numbers(actual, "actual")
    if (ages < 0).any():
        raise WrinkleError(f"actual age {ages[ages < 0][0]:g} is negative")
    return [f"{first}–{first + 9}" for first in (ages // 10 * 10).astype(int)]


def _errors(predicted: Any, actual: Any) -> np.ndarray:
    x, mu = _numbers(predicted, "predicted"), _numbers(actual, "actual")
    _same_length(x, mu, "predicted ages")
    errors: np.ndarray = x - mu
    return errors


def _numbers(values: Any, name: str) -> np.ndarray:
    if hasattr(values, "detach"):  # a tensor; torch is not imported here
        values = values.detach().cpu().double().numpy()
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise WrinkleError(f"{name} holds something that is not a number") from error
    if numbers.ndim != 1 or not numbers.size:
        raise WrinkleError(f"{name} must be a list of numbers, at least one; shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise WrinkleError(f"{name}[{np.flatnonzero(~np.isfinite(numbers))[0]}] is not a number")
    return numbers


def _same_length(given: Sized, expected: Sized, what: str) -> None:
    if len(given) != len(expected):
        raise WrinkleError(f"{len(given)} {what} for {len(expected)} actual ages")
