import numpy as np
import pytest
from scipy.stats import beta

from wrinkle.evaluation.proportions import clopper_pearson, effective_number, shares


@pytest.mark.parametrize(
    ("hits", "number"), [(0, 5), (5, 5), (3, 7), (1, 40), (39, 40), (2_000, 2_263), (7, 100_000)]
)
def test_bounds_are_quantiles_of_beta_distributions(hits: int, number: int) -> None:
    low, high = clopper_pearson(hits / number, number)
    assert low == pytest.approx(0 if hits == 0 else beta.ppf(0.025, hits, number - hits + 1))
    assert high == pytest.approx(1 if hits == number else beta.ppf(0.975, hits + 1, number - hits))


def test_a_share_of_all_faces_has_an_interval_with_a_width() -> None:
    every, none = shares(np.stack([np.ones(5), np.zeros(5)], 1))
    assert every == pytest.approx((1, 0.025 ** (1 / 5), 1))
    assert none == pytest.approx((0, 0, 1 - 0.025 ** (1 / 5)))


@pytest.mark.parametrize("faces", [0, 1, 4])
def test_fewer_than_five_faces_have_no_interval(faces: int) -> None:
    members = np.arange(9)[:, None] < faces
    (found,) = shares(np.ones((9, 1), bool), members)
    assert np.isnan([found.low, found.high]).all()
    assert found.value == 1 or faces == 0


def test_pictures_of_one_person_count_as_one() -> None:
    values = np.array([True] * 6 + [False] * 4)
    assert effective_number(values, np.arange(10)) == 10
    assert effective_number(np.repeat(values, 9), np.repeat(np.arange(10), 9)) == pytest.approx(10)
    assert effective_number(np.ones(20, bool), np.repeat(np.arange(4), 5)) == 4
    assert effective_number(values, np.zeros(10)) == 1


def test_intervals_have_at_least_their_nominal_coverage() -> None:
    """500 simulated sets of 40 people with 1 to 5 similar pictures each; a true share of 0.8."""
    random = np.random.default_rng(3)
    held = 0
    for _ in range(500):
        person = np.repeat(np.arange(40), random.integers(1, 6, 40))
        same = random.random(len(person)) < 0.7
        own, alone = random.random(40) < 0.8, random.random(len(person)) < 0.8
        (found,) = shares(np.where(same, own[person], alone)[:, None], None, person.tolist())
        held += found.low <= 0.8 <= found.high
    assert held / 500 > 0.93
