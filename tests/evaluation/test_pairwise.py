import numpy as np
import pytest

from wrinkle.errors import WrinkleError
from wrinkle.evaluation.pairwise import pairwise
from wrinkle.evaluation.uncertainty import compare_errors


def methods(faces: int, runs: int, means: list[float], seed: int = 0) -> list[np.ndarray]:
    """Errors of methods that differ by a constant, with noise for each face and run."""
    random = np.random.default_rng(seed)
    shared = random.gamma(2, 2, (faces, 1))
    return [shared + mean + random.normal(0, 0.5, (faces, runs)) for mean in means]


def test_differences_are_those_of_the_means() -> None:
    errors = methods(50, 3, [0.0, 1.0, 5.0])
    found = pairwise(errors, samples=200)
    for a in range(3):
        assert found.mae[a].value == pytest.approx(errors[a].mean())
        for b in range(3):
            expected = errors[a].mean() - errors[b].mean()
            assert found.difference[a, b] == pytest.approx(expected)
            assert found.low[a, b] == pytest.approx(-found.high[b, a])
    assert found.real[0, 1]
    assert found.real[2, 1]
    assert not found.real[np.diag_indices(3)].any()


def test_a_single_pair_of_single_runs_is_the_usual_paired_interval() -> None:
    first, second = methods(2000, 1, [0.0, 0.02])
    found = pairwise([first, second])
    usual = compare_errors(first[:, 0], second[:, 0]).difference
    assert found.low[0, 1] == pytest.approx(usual.low, abs=0.003)
    assert found.high[0, 1] == pytest.approx(usual.high, abs=0.003)


def test_the_bootstrap_by_hand() -> None:
    """Faces, then runs, drawn one after the other by a slow version: the same spread."""
    errors = methods(30, 4, [0.0, 0.3], seed=3)
    errors[1] += np.array([-1.0, 0.0, 0.5, 1.5])  # runs differ more than faces do
    random, gaps = np.random.default_rng(5), []
    for _ in range(4000):
        faces = random.integers(30, size=30)
        means = []
        for each in errors:
            runs = random.integers(4, size=4)
            means.append(np.mean([each[faces, run].mean() for run in runs]))
        gaps.append(means[0] - means[1])
    found = pairwise(errors, samples=4000)
    half = (found.high[0, 1] - found.low[0, 1]) / 2
    assert half == pytest.approx(1.96 * np.std(gaps), rel=0.08)
    without = pairwise([each[:, :1] for each in errors], samples=4000)
    assert half > 3 * (without.high[0, 1] - without.low[0, 1]) / 2


def test_intervals_of_many_pairs_hold_together() -> None:
    """Of equal methods, one real difference in about one comparison of twenty; not in one pair."""
    wrong = sum(
        bool(pairwise(methods(120, 1, [0.0] * 8, seed=seed), samples=400).real.any())
        for seed in range(60)
    )
    assert wrong <= 9  # 28 pairs, each with its own 95 % interval, would be wrong in most


def test_people_are_drawn_where_they_are_known() -> None:
    errors = methods(200, 1, [0.0, 0.1])
    person = np.repeat(np.arange(10), 20)
    errors[0] += np.random.default_rng(1).normal(0, 1, 10)[person][:, None]
    alone, together = pairwise(errors), pairwise(errors, [str(p) for p in person])
    assert together.high[0, 1] - together.low[0, 1] > 2 * (alone.high[0, 1] - alone.low[0, 1])


def test_few_faces_have_no_interval() -> None:
    for errors, clusters in ((methods(4, 2, [0.0, 9.0]), None), (methods(9, 2, [0, 9]), ["a"] * 9)):
        found = pairwise(errors, clusters)
        assert np.isnan(found.low).all()
        assert np.isnan(found.mae[0].low)
        assert not found.real.any()


def test_different_faces_are_one_line() -> None:
    with pytest.raises(WrinkleError, match="the same faces"):
        pairwise([np.zeros((3, 1)), np.zeros((4, 1))])
