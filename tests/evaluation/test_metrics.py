import doctest
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wrinkle.errors import WrinkleError
from wrinkle.evaluation import metrics
from wrinkle.evaluation.metrics import (
    age_decades,
    bias,
    by_group,
    cumulative_score,
    epsilon_error,
    mean_absolute_error,
)

PREDICTED, ACTUAL = [20.0, 33.0, 41.5, 7.0], [21.0, 30.0, 41.5, 12.0]  # −1, +3, 0, −5


@pytest.mark.parametrize(
    "make",
    [list, tuple, np.array, torch.tensor, lambda x: torch.tensor(x, requires_grad=True).bfloat16()],
)
def test_every_numeric_type_is_accepted(make: Callable[[list[float]], Any]) -> None:
    predicted, actual = make(PREDICTED), make(ACTUAL)
    for value, expected in (
        (mean_absolute_error(predicted, actual), 9 / 4),
        (bias(predicted, actual), -3 / 4),
        (cumulative_score(predicted, actual, 3), 3 / 4),
        (epsilon_error(predicted, actual, make([1.0, 3.0, 2.0, 5.0])), 0.75 * (1 - math.e**-0.5)),
    ):
        assert type(value) is float
        assert value == pytest.approx(expected)


@pytest.mark.parametrize(("v", "share"), [(0, 0.25), (0.99, 0.25), (1, 0.5), (4.9, 0.75), (5, 1)])
def test_cumulative_score_includes_its_limit(v: float, share: float) -> None:
    assert cumulative_score(PREDICTED, ACTUAL, v) == share


def test_epsilon_error_by_hand() -> None:
    # An error of no, one and many deviations.
    assert epsilon_error([30], [30], [4]) == 0
    assert epsilon_error([34], [30], [4]) == pytest.approx(0.3934693402873666)
    assert epsilon_error([90], [30], [1]) == 1
    assert epsilon_error([30 + 1e-9], [30], [1]) == pytest.approx(5e-19, rel=1e-5)


@given(st.lists(st.tuples(st.floats(0, 120), st.floats(0, 120)), min_size=1))
def test_metrics_equal_plain_python(pairs: list[tuple[float, float]]) -> None:
    predicted, actual = zip(*pairs, strict=True)
    errors = [p - a for p, a in pairs]
    mae = mean_absolute_error(predicted, actual)
    assert mae == pytest.approx(math.fsum(map(abs, errors)) / len(errors))
    assert abs(bias(predicted, actual)) <= mae + 1e-9
    assert cumulative_score(predicted, actual, 5) == sum(abs(e) <= 5 for e in errors) / len(errors)
    expected = math.fsum(1 - math.exp(-(e**2) / 18) for e in errors) / len(errors)
    assert epsilon_error(predicted, actual, [3] * len(pairs)) == pytest.approx(expected, abs=1e-12)


def test_by_group_in_order_of_appearance() -> None:
    rows = by_group(PREDICTED, ACTUAL, np.array(["m", "f", "f", "m"]))
    assert rows == [("m", 2, 3.0, -3.0), ("f", 2, 1.5, 1.5)]
    assert rows[0].mean_absolute_error == 3.0
    assert rows[0].faces == 2


def test_by_group_takes_missing_names_as_a_group() -> None:
    assert [row[:2] for row in by_group(PREDICTED, ACTUAL, [None, "f", None, None])] == [
        (None, 3),
        ("f", 1),
    ]


def test_age_decades_have_names() -> None:
    assert age_decades([0, 9.9, 10, 25, 100, 116]) == [
        "0–9",
        "0–9",
        "10–19",
        "20–29",
        "100–109",
        "110–119",
    ]


@pytest.mark.parametrize(
    ("predicted", "actual", "message"),
    [
        ([], [], "at least one"),
        ([1], [1, 2], "1 predicted ages for 2 actual ages"),
        ([1, math.nan], [1, 2], r"predicted\[1\] is not a number"),
        ([1, 2], [math.inf, 2], r"actual\[0\] is not a number"),
        ([1, None], [1, 2], r"predicted\[1\] is not a number"),
        (["old"], [1], "predicted holds something that is not a number"),
        ([[1, 2]], [1, 2], r"shape \(1, 2\)"),
        (3.0, [1], r"shape \(\)"),
        ([[1], [1, 2]], [1, 2], "not a number"),
    ],
)
def test_unusable_numbers_give_one_line(predicted: object, actual: object, message: str) -> None:
    for call in (
        lambda: mean_absolute_error(predicted, actual),
        lambda: bias(predicted, actual),
        lambda: cumulative_score(predicted, actual, 5),
        lambda: epsilon_error(predicted, actual, [1]),
        lambda: by_group(predicted, actual, ["a"]),
    ):
        with pytest.raises(WrinkleError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("deviation", [0, -1])
def test_epsilon_error_needs_deviations_above_zero(deviation: float) -> None:
    with pytest.raises(WrinkleError, match="deviation 1 is not above 0"):
        epsilon_error([1, 2], [1, 2], [3, deviation])


def test_epsilon_error_needs_a_deviation_each() -> None:
    with pytest.raises(WrinkleError, match="1 deviations for 2"):
        epsilon_error([1, 2], [1, 2], [3])


@pytest.mark.parametrize("v", [-1, math.nan])
def test_cumulative_score_needs_a_limit(v: float) -> None:
    with pytest.raises(WrinkleError, match="v is"):
        cumulative_score([1], [1], v)


def test_groups_for_every_face() -> None:
    with pytest.raises(WrinkleError, match="1 groups for 2 actual ages"):
        by_group([1, 2], [1, 2], ["a"])


def test_negative_age_has_no_decade() -> None:
    with pytest.raises(WrinkleError, match="-3 is negative"):
        age_decades([4, -3])


def test_examples() -> None:
    failed, tried = doctest.testmod(metrics)
    assert failed == 0
    assert tried >= 4


@pytest.mark.slow
def test_needs_no_torch() -> None:
    code = "import sys, wrinkle.evaluation.metrics; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
