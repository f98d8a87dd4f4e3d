"""Intervals and probabilities of a distribution against a slow walk up its ages."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from wrinkle.inference.intervals import central_interval, probability_at_least

WHOLE = np.arange(101)


def spans(ages: list[float]) -> list[tuple[float, float]]:
    """What each age stands for: all that is nearer to it than to its neighbours, and as much
    outside the first and the last one as inside."""
    middles = [(a + b) / 2 for a, b in pairwise(ages)]
    first, last = ages[0] - (middles[0] - ages[0]), ages[-1] + (ages[-1] - middles[-1])
    return list(zip([first, *middles], [*middles, last], strict=True))


def slow_interval(
    probabilities: list[float], ages: list[float], share: float
) -> tuple[float, float]:
    """Walk up the ages, one at a time, until the tail's share is reached within one of them."""

    def quantile(wanted: float) -> float:
        below = 0.0
        for (start, end), p in zip(spans(ages), probabilities, strict=True):
            if below + p >= wanted and p > 0:
                return start + (wanted - below) / p * (end - start)
            below += p
        return spans(ages)[-1][1]

    total = sum(probabilities)
    low, high = quantile((1 - share) / 2 * total), quantile((1 + share) / 2 * total)
    return max(low, ages[0]), min(high, ages[-1])


def slow_at_least(probabilities: list[float], ages: list[float], age: float) -> float:
    """Sum what each age puts at `age` − ½ or above."""
    inside = 0.0
    for (start, end), p in zip(spans(ages), probabilities, strict=True):
        inside += p * min(max((end - (age - 0.5)) / (end - start), 0.0), 1.0)
    return inside / sum(probabilities)


weights = arrays.arrays(
    np.float64, st.integers(2, 110), elements=st.floats(0.001, 1) | st.sampled_from([1e-6, 50.0])
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A distribution, and ages that start anywhere, in equal steps or not."""
    given = draw(weights)
    first = draw(st.floats(0, 60))
    if draw(st.booleans()):
        steps = np.full(len(given) - 1, draw(st.sampled_from([1.0, 0.5, 5.0])))
    else:
        steps = draw(arrays.arrays(np.float64, len(given) - 1, elements=st.floats(0.25, 20)))
    return given / given.sum(), first + np.concatenate([[0], steps.cumsum()])


@given(weights, st.floats(0.05, 0.99))
def test_interval_against_a_walk_up_the_ages(weights: np.ndarray, share: float) -> None:
    distribution, ages = weights / weights.sum(), np.arange(len(weights))
    expected = slow_interval(distribution.tolist(), ages.tolist(), share)
    assert central_interval(distribution, ages, share) == pytest.approx(expected, abs=1e-6)


@given(cases(), st.floats(0.05, 0.99))
def test_interval_over_other_ages(case: tuple[np.ndarray, np.ndarray], share: float) -> None:
    distribution, ages = case
    expected = slow_interval(distribution.tolist(), ages.tolist(), share)
    assert central_interval(distribution, ages, share) == pytest.approx(expected, abs=1e-5)


@given(cases(), st.floats(-10, 200))
def test_probability_of_an_age_or_more(case: tuple[np.ndarray, np.ndarray], age: float) -> None:
    distribution, ages = case
    expected = slow_at_least(distribution.tolist(), ages.tolist(), age)
    assert probability_at_least(distribution, ages, age) == pytest.approx(expected, abs=1e-9)


@given(cases())
def test_interval_contains_the_median_and_widens_with_its_share(
    case: tuple[np.ndarray, np.ndarray],
) -> None:
    distribution, ages = case[0].astype(np.float32), case[1]
    median, _ = central_interval(distribution, ages, 0)
    low, high = central_interval(distribution, ages)
    narrow_low, narrow_high = central_interval(distribution, ages, 0.5)
    assert low <= narrow_low <= median <= narrow_high <= high
    assert ages[0] <= low <= high <= ages[-1]


def test_interval_of_a_certain_age() -> None:
    certain = np.zeros(101)
    certain[30] = 1
    assert central_interval(certain, WHOLE) == pytest.approx((29.55, 30.45))
    certain[[0, 30]] = certain[[30, 0]]
    assert central_interval(certain, WHOLE) == pytest.approx((0, 0.45))
    assert central_interval(np.full(101, 1 / 101), WHOLE) == pytest.approx((4.55, 95.45))


def test_other_ages_by_hand() -> None:
    """20 stands for [15, 25), 30 for [25, 40), 50 for [40, 60]."""
    ages, distribution = np.array([20.0, 30.0, 50.0]), np.array([0.1, 0.4, 0.5])
    # A tenth of the way into 20's span lies below, 0.05 of 0.1; clipped to nothing below 20.
    assert central_interval(distribution, ages, 0.9) == pytest.approx((20.0, 50.0))
    # A fourth below: 0.15 of 30's 0.4; three fourths: half of what 50 has.
    expected = (25 + 15 * 0.15 / 0.4, 50.0)
    assert central_interval(distribution, ages, 0.5) == pytest.approx(expected)
    assert probability_at_least(distribution, ages, 40.5) == pytest.approx(0.5)
    assert probability_at_least(distribution, ages, 33) == pytest.approx(0.5 + 0.4 * 0.5)
    assert probability_at_least(distribution, ages, 15.5) == 1
    assert probability_at_least(distribution, ages, 61) == 0


def test_whole_years_add_up() -> None:
    random = np.random.default_rng(0).random(101)
    distribution = random / random.sum()
    for age in (0, 18, 65, 100):
        expected = distribution[age:].sum()
        assert probability_at_least(distribution, WHOLE, age) == pytest.approx(expected)
    assert probability_at_least(distribution, WHOLE, 101) == pytest.approx(0)
