import numpy as np
import pytest

from wrinkle.errors import WrinkleError
from wrinkle.evaluation.uncertainty import bootstrap, compare, estimates


def spread(values: np.ndarray, clusters: list[str] | None = None) -> float:
    return float(bootstrap(values[:, None], None, clusters, samples=4000).std())


def test_bootstrap_samples_have_the_theoretical_spread() -> None:
    values = np.random.default_rng(1).gamma(2, 2, 400)
    assert spread(values) == pytest.approx(values.std() / 20, rel=0.05)


def test_pictures_of_one_person_count_as_one() -> None:
    """Nine copies of everybody's picture tell nothing new."""
    people = np.random.default_rng(2).gamma(2, 2, 100)
    names = [str(n) for n in range(100)] * 9
    assert spread(np.tile(people, 9), names) == pytest.approx(people.std() / 10, rel=0.05)
    assert spread(np.tile(people, 9)) == pytest.approx(people.std() / 30, rel=0.05)


def test_unknown_people_are_separate_clusters() -> None:
    values = np.random.default_rng(3).normal(size=(50, 1))
    alone = bootstrap(values, None, [None] * 50, samples=20)
    np.testing.assert_array_equal(alone, bootstrap(values, samples=20))


def test_intervals_have_their_nominal_coverage() -> None:
    """Two quantities of 500 simulated sets of 60 people with 1 to 5 pictures each."""
    random = np.random.default_rng(4)
    held = np.zeros(2)
    for _ in range(500):
        person = np.repeat(np.arange(60), random.integers(1, 6, 60))
        error = 1 + random.normal(size=60)[person] + 0.3 * random.normal(size=len(person))
        values = np.stack([error, error > 1], 1).astype(float)
        found = estimates(values, None, person.tolist(), samples=400)
        held += [e.low <= truth <= e.high for e, truth in zip(found, (1, 0.5), strict=True)]
    # 95 %, less what percentiles of 60 clusters lose, plus and minus three standard deviations.
    assert ((held / 500 > 0.90) & (held / 500 < 0.98)).all()


def test_only_members_of_a_group_count() -> None:
    random = np.random.default_rng(5)
    values, members = random.normal(size=(300, 2)), random.random((300, 2)) < 0.3
    values[~members] = np.nan
    for column, found in enumerate(estimates(values, members)):
        inside = values[members[:, column], column]
        alone = estimates(inside[:, None])[0]
        assert found.value == pytest.approx(inside.mean())
        assert found.high - found.low == pytest.approx(alone.high - alone.low, rel=0.15)
    empty = estimates(values, np.zeros((300, 2), bool))[0]
    assert np.isnan(empty).all()


def test_a_sample_without_members_is_nan_and_left_out() -> None:
    values, members = np.array([[1.0], [5.0]]), np.array([[True], [False]])
    drawn = bootstrap(values, members, samples=200)
    assert np.isnan(drawn).any()
    assert set(drawn[~np.isnan(drawn)]) == {1.0}


@pytest.mark.parametrize(("faces", "people"), [(1, 1), (4, 4), (9, 1)])
def test_few_faces_and_one_person_have_no_interval(faces: int, people: int) -> None:
    values = np.arange(9.0)[:, None]
    clusters = [str(n % people) for n in range(9)]
    (found,) = estimates(values, np.arange(9)[:, None] < faces, clusters)
    assert found.value == (faces - 1) / 2
    assert np.isnan([found.low, found.high]).all()
    errors = values[:faces, 0]
    compared = compare(errors + 1, errors, np.zeros(faces), clusters[:faces])
    assert (compared.difference.value, compared.wins) == (1, 0)
    assert np.isnan([compared.difference.low, compared.difference.high, compared.p]).all()


def test_the_seed_determines_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).normal(size=(40, 3))
    first = bootstrap(values, samples=100, seed=7)
    np.testing.assert_array_equal(first, bootstrap(values, samples=100, seed=7))
    assert not np.array_equal(first, bootstrap(values, samples=100, seed=8))
    # However many samples are held at a time.
    monkeypatch.setattr("wrinkle.evaluation.uncertainty.BLOCK", 100)
    np.testing.assert_allclose(first, bootstrap(values, samples=100, seed=7))


def test_compare_by_hand() -> None:
    actual = np.array([10.0, 20.0, 30.0, 40.0] * 2)
    always = compare(actual + 1, actual - 2, actual)
    assert always.difference == (-1, -1, -1)
    assert always.p == 1 / 2000
    assert always.wins == 1
    same = compare(actual + 1, actual - 1, actual)
    assert same == ((0, 0, 0), 1, 0.5)
    one = compare(actual + np.array([0, 1, 1, 3] * 2), actual + 1, actual)
    assert one.difference.value == pytest.approx(0.25)
    assert one.wins == 0.5
    assert one.p > 0.1


def test_p_values_of_equal_systems_are_rarely_small() -> None:
    random = np.random.default_rng(8)
    p = [
        compare(*random.normal(size=(2, 80)), np.zeros(80), samples=300, seed=seed).p
        for seed in range(300)
    ]
    assert 0.01 < np.mean(np.array(p) < 0.05) < 0.11


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((0, 1)),), "N ≥ 1"),
        ((np.zeros(3),), r"values \(N, M\)"),
        ((np.zeros((3, 1)), np.ones((2, 1))), "members of their shape"),
        ((np.zeros((3, 1)), None, None, 0), "at least 1 sample"),
        ((np.array([[np.nan]]),), "not a number"),
        ((np.zeros((3, 1)), None, ["a"]), "1 people for 3 faces"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: tuple, message: str) -> None:
    with pytest.raises(WrinkleError, match=message):
        bootstrap(*arguments)
