import math
import re
import statistics

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wrinkle.curation.people.votes import agreement, counting, people, tally

Vote = tuple[str, str, float | None, bool]

AGES = st.one_of(st.none(), st.integers(0, 120).map(float))
VOTES = st.dictionaries(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from("pqrst")),
    st.tuples(AGES, st.booleans()),
    max_size=30,
).map(lambda votes: [(*key, *value) for key, value in votes.items()])


def table(votes: list[Vote]) -> pa.Table:
    names = ("face", "person", "age", "unusable")
    types = (pa.string(), pa.string(), pa.float64(), pa.bool_())
    schema = pa.schema(list(zip(names, types, strict=True)))
    return pa.Table.from_pylist([dict(zip(names, vote, strict=True)) for vote in votes], schema)


def ages(**faces: list[float | None]) -> pa.Table:
    """Face → its answers by persons p0, p1, …; None: not asked."""
    return table(
        [
            (face, f"p{person}", age, False)
            for face, answers in faces.items()
            for person, age in enumerate(answers)
            if age is not None
        ]
    )


@pytest.mark.parametrize(
    ("answers", "kept"),
    [
        ([30, 31, 60], [30, 31]),  # median 31, MAD 1: five years count more
        ([30, 35, 36], [30, 35, 36]),  # just five years
        ([29.9, 35, 36], [35, 36]),
        ([20, 40], [20, 40]),  # MAD 10: 44 years
        ([10, 20, 30, 40, 74], [10, 20, 30, 40, 74]),  # MAD 10: 44.5 years
        ([10, 20, 30, 40, 75], [10, 20, 30, 40]),
    ],
)
def test_answers_far_from_the_median_do_not_count(answers: list[float], kept: list[float]) -> None:
    values = np.array(answers, float)
    assert values[counting(values)].tolist() == kept


def test_mean_and_deviation_by_hand() -> None:
    votes = [
        *ages(a=[30, 32, 60], b=[40], c=[20, 40]).to_pylist(),
        {"face": "d", "person": "p0", "age": None, "unusable": True},
        {"face": "d", "person": "p1", "age": 50.0, "unusable": False},
        {"face": "e", "person": "p0", "age": 33.0, "unusable": True},  # which is no age
        {"face": "f", "person": "p0", "age": None, "unusable": False},
    ]
    a, b, c, d, e, f = tally(pa.Table.from_pylist(votes)).to_pylist()
    assert a == {
        "face": "a",
        "age": 31.0,
        "deviation": pytest.approx(math.sqrt(2)),
        "votes": 2,
        "aside": 1,
        "people": 3,
        "unusable": 0,
    }
    assert (b["age"], b["deviation"], b["votes"]) == (40.0, None, 1)
    assert (c["age"], c["deviation"]) == (30.0, pytest.approx(math.sqrt(200)))
    assert (d["age"], d["votes"], d["people"], d["unusable"]) == (50.0, 1, 2, 1)
    assert (e["age"], e["votes"], e["unusable"]) == (None, 0, 1)
    assert (f["age"], f["votes"], f["people"], f["unusable"]) == (None, 0, 1, 0)
    a, *_, d, e, f = tally(pa.Table.from_pylist(votes), {"p0"}).to_pylist()
    assert (a["age"], a["votes"], a["people"]) == (46.0, 2, 2)
    assert (d["unusable"], d["people"], e["people"], f["people"]) == (0, 1, 0, 0)


def test_bias_and_spread_by_hand() -> None:
    # p0: 30 − 34.5, 50 − 53, 10 − 13; p1: 33 − 33, 53 − 50, 13 − 10; p2: 36 − 31.5.
    votes = ages(a=[30, 33, 36], b=[50, 53], c=[10, 13], d=[None, None, 70])
    expected = {"p0": [-4.5, -3, -3], "p1": [0, 3, 3], "p2": [4.5]}
    for row in people(votes).to_pylist():
        gaps = expected[row["person"]]
        assert row["bias"] == pytest.approx(statistics.mean(gaps))
        assert row["answers"] == {"p0": 3, "p1": 3, "p2": 2}[row["person"]]
        spread = statistics.stdev(gaps) if len(gaps) > 1 else None
        assert row["spread"] == (None if spread is None else pytest.approx(spread))
        assert row["careless"] is None
    (alone,) = people(ages(a=[30], b=[40])).to_pylist()
    assert alone == {"person": "p0", "answers": 2, "bias": None, "spread": None, "careless": None}


def test_agreement_is_krippendorffs_alpha() -> None:
    # Krippendorff's own example as the package krippendorff has it: α for intervals is 0.810845.
    x = None
    rows = [
        [x, x, x, x, x, 3, 4, 1, 2, 1, 1, 3, 3, x, 3],
        [1, x, 2, 1, 3, 3, 4, 3, x, x, x, x, x, x, x],
        [x, x, 2, 1, 3, 4, 4, x, 2, 1, 1, 3, 3, x, 4],
    ]
    faces = {f"f{number}": list(column) for number, column in enumerate(zip(*rows, strict=True))}
    assert agreement(ages(**faces)) == pytest.approx(0.810845, abs=5e-7)
    assert agreement(ages(a=[30, 30], b=[50, 50])) == 1
    # Observed: 2 · 10² / 4 = 50; expected: mean of (0, 10, 10, 0…)² over all 12 pairs = 8·100/12.
    assert agreement(ages(a=[0, 10], b=[10, 0])) == pytest.approx(1 - 100 / (8 * 100 / 12))
    for nothing in (ages(), ages(a=[30], b=[40]), ages(a=[30, 30], b=[30, 30])):
        assert agreement(nothing) is None


def alpha_by_pairs(votes: list[Vote]) -> float | None:
    """Krippendorff's definition, pair by pair."""
    faces: dict[str, list[float]] = {}
    for face, _, age, unusable in votes:
        if age is not None and not unusable:
            faces.setdefault(face, []).append(age)
    units = [unit for unit in faces.values() if len(unit) > 1]
    values = [value for unit in units for value in unit]
    count = len(values)
    observed = sum(
        (a - b) ** 2 / (len(unit) - 1) for unit in units for a in unit for b in unit
    ) / max(count, 1)
    expected = sum((a - b) ** 2 for a in values for b in values) / max(count * (count - 1), 1)
    return 1 - observed / expected if expected else None


@given(VOTES, st.randoms())
def test_the_order_of_answers_does_not_matter(votes: list[Vote], random: object) -> None:
    mixed = votes.copy()
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert tally(table(votes), {"p"}).equals(tally(table(mixed), {"p"}))
    assert people(table(votes)).equals(people(table(mixed)))
    alpha = agreement(table(votes))
    assert agreement(table(mixed)) == alpha
    pairs = alpha_by_pairs(votes)
    assert (alpha is None) == (pairs is None)
    assert alpha is None or alpha == pytest.approx(pairs)


@given(VOTES)
def test_ages_are_within_the_answers(votes: list[Vote]) -> None:
    rows = tally(table(votes)).to_pylist()
    assert [row["face"] for row in rows] == sorted({vote[0] for vote in votes})
    for row in rows:
        mine = [vote for vote in votes if vote[0] == row["face"]]
        given = [age for _, _, age, unusable in mine if age is not None and not unusable]
        assert row["people"] == len(mine)
        assert row["unusable"] == sum(vote[3] for vote in mine)
        assert row["votes"] + row["aside"] == len(given)
        assert (row["age"] is None) == (not given)
        assert (row["deviation"] is None) == (row["votes"] < 2)
        if given:
            assert min(given) - 1e-9 <= row["age"] <= max(given) + 1e-9
            assert 2 * row["votes"] >= len(given)  # a MAD holds half


@given(VOTES, st.integers(-20, 20))
def test_a_bias_moves_with_the_answers(votes: list[Vote], years: int) -> None:
    def moved(vote: Vote) -> Vote:
        return (*vote[:2], None if vote[2] is None else vote[2] + years, vote[3])

    before, after = (people(table(v)).to_pylist() for v in (votes, list(map(moved, votes))))
    for one, other in zip(before, after, strict=True):
        for name in ("bias", "spread"):
            assert (one[name] is None) == (other[name] is None)
            assert one[name] is None or one[name] == pytest.approx(other[name], abs=1e-9)


def crowd(seed: int, strange: str = "") -> tuple[pa.Table, int]:
    """Honest people (noise 3 years, bias within ±3) and what p0 does instead; p0's answers."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 9))
    each, faces = int(rng.integers(3, min(count, 5) + 1)), int(rng.integers(15, 80))
    bias = rng.uniform(-3, 3, count)
    votes: list[Vote] = []
    for face in range(faces):
        truth = rng.normal(35, 15)
        for person in rng.permutation(count)[:each]:
            age = float(np.clip(round(truth + bias[person] + rng.normal(0, 3)), 0, 120))
            if person == 0 and strange:
                age = float(rng.integers(0, 91) if strange == "random" else 30 + rng.integers(2))
            votes.append((f"f{face}", f"p{person}", age, False))
    return table(votes), sum(person == "p0" for _, person, *_ in votes)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_honest_people_are_not_careless(seed: int) -> None:
    assert people(crowd(seed)[0])["careless"].null_count == len(people(crowd(seed)[0]))


@pytest.mark.parametrize(
    ("strange", "reason"),
    [
        ("random", "differs by .* years"),
        ("same", "says 3[01] for nearly all faces"),
    ],
)
def test_random_and_constant_answers_are_careless(strange: str, reason: str) -> None:
    for seed in range(100):
        votes, count = crowd(seed, strange)
        found = {row["person"]: row["careless"] for row in people(votes).to_pylist()}
        caught = found.pop("p0")
        if count >= 15:
            assert caught is not None, seed
            assert re.match(reason, caught), (seed, caught)
        assert not any(found.values()), seed


def test_few_answers_are_not_judged() -> None:
    few = {f"f{n}": [float(n * 7), n * 7 + 1.0, 90.0 - n * 9] for n in range(9)}
    assert not any(people(ages(**few))["careless"].to_pylist())
    # Of two who differ, either may be right.
    two = {f"f{n}": [float(n), 80.0 - n] for n in range(40)}
    assert not any(people(ages(**two))["careless"].to_pylist())
    # If every face is 30 years old, answering 30 is right.
    same = {f"f{n}": [30.0, 28.0 + n % 5, 32.0 - n % 5] for n in range(40)}
    assert not any(people(ages(**same))["careless"].to_pylist())
