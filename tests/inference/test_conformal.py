import json

import numpy as np
import pytest

from wrinkle.errors import WrinkleError
from wrinkle.inference.conformal import Calibration, calibrate, moments

AGES = np.arange(101)


def simulated(count: int, seed: int, overconfidence: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A model's distributions, and ages with the skewed errors that it does not know of."""
    random = np.random.default_rng(seed)
    mean, deviation = random.uniform(15, 80, count), random.uniform(1.5, 6, count)
    age = (mean + deviation * (random.gamma(4, 0.5, count) - 1.8)).clip(0, 100).round()
    shape = -0.5 * ((AGES - mean[:, None]) * overconfidence / deviation[:, None]) ** 2
    p = np.exp(shape - shape.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True), age


@pytest.mark.parametrize("overconfidence", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.95])
def test_coverage_on_20000_new_faces(share: float, overconfidence: float) -> None:
    calibration = calibrate(*simulated(4000, 1, overconfidence), "simulated")
    p, age = simulated(20_000, 2, overconfidence)
    low, high = calibration.interval(p, share).T
    assert abs(((low <= age) & (age <= high)).mean() - share) < 0.015
    # Both ends leave out as many.
    assert abs((age < low).mean() - (age > high).mean()) < 0.015


@pytest.mark.parametrize("overconfidence", [0.5, 1.0, 3.0])
def test_probability_of_an_age_is_as_often_true(overconfidence: float) -> None:
    calibration = calibrate(*simulated(4000, 3, overconfidence), "simulated")
    p, age = simulated(20_000, 4, overconfidence)
    for threshold in (18, 25, 40, 65):
        claimed, true = calibration.at_least(p, threshold), age >= threshold
        assert abs(claimed.mean() - true.mean()) < 0.01
        for low in np.arange(0, 1, 0.25):
            inside = (low <= claimed) & (claimed < low + 0.25)
            if inside.sum() > 300:
                assert abs(claimed[inside].mean() - true[inside].mean()) < 0.08


def test_by_hand() -> None:
    """99 residuals −49 … 49: of 100 places the fifth from either end are −45 and 45."""
    p = np.eye(101)[[50]]  # a mean of 50, and half a year, the least deviation
    ages = 50 + 0.5 * np.arange(-49, 50)
    calibration = calibrate(np.repeat(p, 99, 0), ages, "by hand")
    assert calibration.interval(p, 0.9) == pytest.approx(np.array([[27.5, 72.5]]))
    assert calibration.interval(p, 0.98) == pytest.approx(np.array([[25.5, 74.5]]))
    # Of 100 places 50 lie at or below r = 0, that is 50 years: those of −49 … 0.
    assert calibration.at_least(p, 50.5) == pytest.approx([0.5])
    assert calibration.at_least(p, 200) == pytest.approx([0.01])
    assert calibration.at_least(p, 0) == pytest.approx([0.99])


def test_too_few_faces_for_a_share_give_all_ages() -> None:
    p, age = simulated(60, 5)
    calibration = calibrate(p, age, "few")
    assert (calibration.interval(p, 0.99) == [0, 100]).all()
    assert not (calibration.interval(p, 0.9) == [0, 100]).all()


def test_ends_stay_within_the_models_ages() -> None:
    p, age = simulated(500, 6)
    calibration = calibrate(p, age, "x")
    ends = calibration.interval(np.eye(101)[[0, 100]] * 0.5 + 0.5 / 101, 0.95)
    assert ends.min() >= 0
    assert ends.max() <= 100


def test_older_thresholds_are_less_probable() -> None:
    p, age = simulated(500, 7)
    chances = np.stack([calibrate(p, age, "x").at_least(p, t) for t in range(0, 110, 5)])
    assert (np.diff(chances, axis=0) <= 0).all()
    assert ((chances > 0) & (chances < 1)).all()


def test_a_header_keeps_it() -> None:
    p, age = simulated(3000, 8)
    whole = calibrate(p, age, "the validation part")
    kept = Calibration.from_header(json.loads(json.dumps({"calibration": whole.to_header()})))
    assert kept is not None
    assert (kept.faces, kept.data, len(kept.residuals)) == (3000, "the validation part", 1001)
    np.testing.assert_allclose(kept.interval(p), whole.interval(p), atol=1e-3)
    np.testing.assert_allclose(kept.at_least(p, 18), whole.at_least(p, 18), atol=1e-3)
    assert Calibration.from_header({}) is None


def test_moments_of_a_distribution() -> None:
    mean, deviation = moments(np.array([[0.5, 0, 0.5], [0, 1, 0]]))
    assert mean.tolist() == [1, 1]
    assert deviation.tolist() == [1, 0.5]


def test_what_cannot_be_done() -> None:
    p, age = simulated(49, 9)
    with pytest.raises(WrinkleError, match="49 faces are too few to calibrate; 50 at least"):
        calibrate(p, age, "x")
    calibration = calibrate(*simulated(50, 9), "x")
    for share in (0, 1, 90, float("nan")):
        with pytest.raises(WrinkleError, match="between 0 and 1"):
            calibration.interval(p, share)
