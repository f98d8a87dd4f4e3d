import numpy as np
import pytest

from tests.evaluation.test_predictions import rows
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.assurance import challenge, challenge_table
from wrinkle.evaluation.predictions import Predictions

# a is 10 years old, … e 14, f 15, g 16, h 17, i 18, j 19, … z 35.
NAMES = "defghijkz"
SYSTEM = Predictions("x", rows(NAMES), np.array([99, 17, 25, 18.0, 26, 17.9, 25, 24.9, 99]))


def test_rates_by_hand() -> None:
    found = challenge(SYSTEM, [18, 25, 26.5])
    assert [row.threshold for row in found] == [18, 25, 26.5]
    # 14 to 17: e 17, f 25, g 18, h 26. 18 to 30: i 17.9, j 25, k 24.9. The rest do not count.
    assert [row.false_positive_rate.value for row in found] == pytest.approx([3 / 4, 2 / 4, 0])
    assert [row.true_positive_rate.value for row in found] == pytest.approx([2 / 3, 1 / 3, 0])
    assert np.isnan(found[2].false_positive_rate.high)  # of four faces


def test_a_rate_of_zero_has_an_interval() -> None:
    (row,) = challenge(SYSTEM, [99.5], too_young=(13, 17))
    assert row.false_positive_rate == pytest.approx((0, 0, 1 - 0.025 ** (1 / 5)))
    assert "nan" not in challenge_table(SYSTEM, [99.5])


def test_age_ranges_can_be_given() -> None:
    (row,) = challenge(SYSTEM, [25], too_young=(13, 13), old_enough=(35, 120))
    assert (row.false_positive_rate.value, row.true_positive_rate.value) == (1, 1)
    (row,) = challenge(SYSTEM, [25], too_young=(0, 9))
    assert np.isnan(row.false_positive_rate.value)
    assert row.true_positive_rate.value == pytest.approx(1 / 3)


def test_table_has_a_row_per_challenge_age() -> None:
    lines = challenge_table(SYSTEM, [18, 25]).splitlines()
    assert "4 faces of 14 to 17 years (false positives), 3 of 18 to 30" in lines[0]
    assert [line.split()[:2] for line in lines[3:]] == [["18", "75.0"], ["25", "50.0"]]
    assert "66.7" in lines[3]


def test_impossible_challenges_are_one_line() -> None:
    with pytest.raises(WrinkleError, match="14 to 18 overlap with 18 to 30"):
        challenge(SYSTEM, [18], too_young=(14, 18))
    with pytest.raises(WrinkleError, match="17 to 14 are not a range"):
        challenge(SYSTEM, [18], too_young=(17, 14))
    with pytest.raises(WrinkleError, match="no face is 50 to 51 or 60 to 70"):
        challenge(SYSTEM, [18], (50, 51), (60, 70))
