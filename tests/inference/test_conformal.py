import json

import numpy as np
import pytest

from wrinkle.errors import WrinkleError
from wrinkle.inference.conformal import Calibration, balanced_weights, calibrate, moments

AGES = np.arange(101)


def simulated(count: int, seed: int, overconfidence: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A model's distributions, and true ages with skewed errors that the model does not expect."""
    random = np.random.default_rng(seed)
    mean, deviation = random.uniform(15, 80, count), random.uniform(1.5, 6, count)
    age = (mean + deviation * (random.gamma(4, 0.5, count) - 1.8)).clip(0, 100).round()
    shape = -0.5 * ((AGES - mean[:, None]) * overconfidence / deviation[:, None]) ** 2
    p = np.exp(shape - shape.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True), age


def calibrated(count: int, seed: int, overconfidence: float = 1.0) -> Calibration:
    p, age = simulated(count, seed, overconfidence)
    return calibrate(p, AGES, age, "simulated")


@pytest.mark.parametrize("overconfidence", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.95])
def test_coverage_on_20000_new_faces(share: float, overconfidence: float) -> None:
    calibration = calibrated(4000, 1, overconfidence)
    p, age = simulated(20_000, 2, overconfidence)
    low, high = calibration.interval(p, AGES, share).T
    assert abs(((low <= age) & (age <= high)).mean() - share) < 0.015
    # Both ends leave out as many.
    assert abs((age < low).mean() - (age > high).mean()) < 0.015


@pytest.mark.parametrize("overconfidence", [0.5, 1.0, 3.0])
def test_probability_of_an_age_is_as_often_true(overconfidence: float) -> None:
    calibration = calibrated(4000, 3, overconfidence)
    p, age = simulated(20_000, 4, overconfidence)
    for threshold in (18, 25, 40, 65):
        claimed, true = calibration.at_least(p, AGES, threshold), age >= threshold
        assert abs(claimed.mean() - true.mean()) < 0.01
        for low in np.arange(0, 1, 0.25):
            inside = (low <= claimed) & (claimed < low + 0.25)
            if inside.sum() > 300:
                assert abs(claimed[inside].mean() - true[inside].mean()) < 0.08


def test_by_hand() -> None:
    """99 residuals −49 … 49: of 100 places the fifth from either end are −45 and 45."""
    p = np.eye(101)[[50]]  # a mean of 50, and half a year, the least deviation
    actual = 50 + 0.5 * np.arange(-49, 50)
    calibration = calibrate(np.repeat(p, 99, 0), AGES, actual, "by hand")
    assert calibration.interval(p, AGES, 0.9) == pytest.approx(np.array([[27.5, 72.5]]))
    assert calibration.interval(p, AGES, 0.98) == pytest.approx(np.array([[25.5, 74.5]]))
    # Of 100 places 50 lie at or below r = 0, that is 50 years: those of −49 … 0.
    assert calibration.at_least(p, AGES, 50.5) == pytest.approx([0.5])
    assert calibration.at_least(p, AGES, 200) == pytest.approx([0.01])
    assert calibration.at_least(p, AGES, 0) == pytest.approx([0.99])


def test_too_few_faces_for_a_share_give_all_ages() -> None:
    p, age = simulated(60, 5)
    calibration = calibrate(p, AGES, age, "few")
    assert (calibration.interval(p, AGES, 0.99) == [0, 100]).all()
    assert not (calibration.interval(p, AGES, 0.9) == [0, 100]).all()


def test_ends_stay_within_the_models_ages() -> None:
    p, age = simulated(500, 6)
    calibration = calibrate(p, AGES, age, "x")
    ends = calibration.interval(np.eye(101)[[0, 100]] * 0.5 + 0.5 / 101, AGES, 0.95)
    assert ends.min() >= 0
    assert ends.max() <= 100


def test_older_thresholds_are_less_probable() -> None:
    p, age = simulated(500, 7)
    chances = np.stack(
        [calibrate(p, AGES, age, "x").at_least(p, AGES, t) for t in range(0, 110, 5)]
    )
    assert (np.diff(chances, axis=0) <= 0).all()
    assert ((chances > 0) & (chances < 1)).all()


def test_a_header_keeps_it() -> None:
    p, age = simulated(3000, 8)
    full = calibrate(p, AGES, age, "the validation part")
    kept = Calibration.from_header(json.loads(json.dumps({"calibration": full.to_header()})))
    assert kept is not None
    assert (kept.faces, kept.data, len(kept.residuals)) == (3000, "the validation part", 1001)
    np.testing.assert_allclose(kept.interval(p, AGES), full.interval(p, AGES), atol=1e-3)
    np.testing.assert_allclose(kept.at_least(p, AGES, 18), full.at_least(p, AGES, 18), atol=1e-3)
    assert Calibration.from_header({}) is None


def test_moments_of_a_distribution() -> None:
    mean, deviation = moments(np.array([[0.5, 0, 0.5], [0, 1, 0]]), np.arange(3))
    assert mean.tolist() == [1, 1]
    assert deviation.tolist() == [1, 0.5]


def test_what_cannot_be_done() -> None:
    p, age = simulated(49, 9)
    with pytest.raises(WrinkleError, match=r"49 faces.*50"):
        calibrate(p, AGES, age, "x")
    calibration = calibrated(50, 9)
    for share in (0, 1, 90, float("nan")):
        with pytest.raises(WrinkleError, match="share"):
            calibration.interval(p, AGES, share)
    p, age = simulated(60, 9)
    for ages, predicted in ((AGES[1:], None), (AGES, age[1:])):
        with pytest.raises(WrinkleError, match="need"):
            calibrate(p, ages, age, "x", predicted)


def test_ages_may_start_anywhere_and_have_any_steps() -> None:
    """Distributions over 15, 17, 19, … give the same as over 0, 1, 2, … after a change of units."""
    p, age = simulated(500, 10)
    ages, other_age = 15 + 2.0 * AGES, 15 + 2 * age
    plain, other = calibrate(p, AGES, age, "x"), calibrate(p, ages, other_age, "x")
    # Deviations here are above the least one, so both residuals are the same numbers.
    np.testing.assert_allclose(other.residuals, plain.residuals)
    np.testing.assert_allclose(other.interval(p, ages), 15 + 2 * plain.interval(p, AGES))
    expected = plain.at_least(p, AGES, 20.5)  # thresholds 20 here, 55 = 15 + 2 · 20 there
    np.testing.assert_allclose(other.at_least(p, ages, 55.5), expected)
    ends = other.interval(np.eye(101)[[0, 100]], ages, 0.95)
    assert (ends.min(), ends.max()) == (15, 215)
    assert calibrate(p[:60], ages, other_age[:60], "x").interval(p, ages, 0.99)[0].tolist() == [
        *(15, 215),
    ]


def test_ages_that_are_not_the_means_of_the_distributions() -> None:
    """A model that decodes two deviations too high: its residuals are lower by two."""
    p, age = simulated(4000, 11)
    mean, deviation = moments(p, AGES)
    usual = calibrate(p, AGES, age, "x")
    same = calibrate(p, AGES, age, "x", mean)
    np.testing.assert_array_equal(same.residuals, usual.residuals)
    high = mean + 2 * deviation
    ours = calibrate(p, AGES, age, "x", high)
    np.testing.assert_allclose(ours.residuals, usual.residuals - 2)
    np.testing.assert_allclose(ours.interval(p, AGES, 0.9, high), usual.interval(p, AGES))
    np.testing.assert_allclose(ours.at_least(p, AGES, 40, high), usual.at_least(p, AGES, 40))
    assert not np.allclose(ours.interval(p, AGES), usual.interval(p, AGES))


def test_each_domain_counts_the_same() -> None:
    """Ten times as many faces of one domain do not outweigh the other."""
    p, age = simulated(22_000, 5)
    domain = np.where(np.arange(22_000) < 2000, "few", "many")
    age[domain == "few"] += 15  # of which the model knows nothing
    fitted = calibrate(
        p, AGES, age, "two domains", weights=balanced_weights(domain.tolist(), [None] * 22_000)
    )
    low, high = fitted.interval(p, AGES).T
    inside = (low <= age) & (age <= high)
    covered = [inside[domain == name].mean() for name in ("few", "many")]
    assert np.mean(covered) == pytest.approx(0.9, abs=0.01)
    ignored = calibrate(p, AGES, age, "one domain").interval(p, AGES).T
    few = ((ignored[0] <= age) & (age <= ignored[1]))[domain == "few"]
    assert few.mean() < covered[0] - 0.1


def test_domains_of_equal_size_change_nothing() -> None:
    p, age = simulated(4000, 6)
    together = calibrate(p, AGES, age, "together")
    apart = calibrate(
        p, AGES, age, "apart", weights=balanced_weights(["a", "b"] * 2000, [None] * 4000)
    )
    assert apart.residuals == pytest.approx(together.residuals)
    assert apart.faces == together.faces


def test_weights_by_hand() -> None:
    """Two domains; in the first, one person has two of three pictures."""
    weights = balanced_weights(["a", "a", "a", "b"], ["x", "x", "y", None])
    assert weights == pytest.approx(np.array([1, 1, 2, 4]) / 2)
    assert balanced_weights(["a"] * 3, ["x", None, None]) == pytest.approx(np.ones(3))


def test_symmetric_by_hand() -> None:
    """Of the errors 0.1 … 19.9 years 20 may be outside the interval, and 180 are at most 18."""
    p = np.eye(101)[[50]]  # a deviation of half a year, the least
    actual = 50 + 0.1 * np.arange(1, 200)
    calibration = calibrate(np.repeat(p, 199, 0), AGES, actual, "by hand", symmetric=True)
    assert calibration.faces == 199
    (low, high) = calibration.interval(p, AGES, 0.9)[0]
    assert low + high == pytest.approx(100)
    assert 18.0 <= high - 50 < 18.2
    assert calibration.at_least(p, AGES, 50.5) == pytest.approx([0.5], abs=0.005)


def test_symmetric_intervals_hold_where_errors_have_the_other_sign() -> None:
    p, age = simulated(20_000, 7)
    mean, deviation = moments(p, AGES)
    old, young = age + deviation, 2 * mean - age - deviation
    weights = np.random.default_rng(8).uniform(0.5, 2, len(age))
    for symmetric in (False, True):
        fitted = calibrate(p, AGES, old, "too low", weights=weights, symmetric=symmetric)
        low, high = fitted.interval(p, AGES).T
        assert ((low <= old) & (old <= high)).mean() == pytest.approx(0.9, abs=0.01)
        covered = ((low <= young) & (young <= high)).mean()
        assert covered == pytest.approx(0.9, abs=0.02) if symmetric else covered < 0.5
