from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.tables import table
from wrinkle.errors import WrinkleError
from wrinkle.protocols import get_protocol


@given(
    persons=st.lists(st.sampled_from("abcdefgh"), max_size=60).map(lambda some: [*some, *"abcdef"]),
    count=st.integers(3, 6),
    seed=st.integers(0, 5),
)
def test_people_are_disjoint_and_every_row_tests_once(persons, count, seed):
    rows = table(names=[str(i) for i in range(len(persons))], persons=persons)
    folds = get_protocol(f"by-person:{count}:{seed}").folds(rows)
    assert [fold.name for fold in folds] == [str(k + 1) for k in range(count)]
    for fold in folds:
        parts = fold.train, fold.validation, fold.test
        people = [{persons[row] for row in part} for part in parts]
        assert len(set.union(*people)) == sum(map(len, people))
        assert sorted(np.concatenate(parts)) == list(range(len(persons)))
        assert all(part.dtype == np.int64 for part in parts)
    for part in ("test", "validation"):
        seen = np.concatenate([getattr(fold, part) for fold in folds])
        assert sorted(seen) == list(range(len(persons)))
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= max(Counter(persons).values())


def test_the_split_depends_on_names_and_seed_only():
    persons = [f"p{i % 20}" for i in range(100)]
    names = [str(i) for i in range(100)]

    def tested(spec: str, order: list[int]) -> list[set[str]]:
        rows = table(names=[names[i] for i in order], persons=[persons[i] for i in order])
        return [{names[order[row]] for row in fold.test} for fold in get_protocol(spec).folds(rows)]

    forward = list(range(100))
    assert tested("by-person:5:3", forward) == tested("by-person:5:3", forward[::-1])
    assert tested("by-person:5:3", forward) != tested("by-person:5:4", forward)
    assert tested("by-person:5", forward) == tested("by-person:5:0", forward)


def test_unsuitable_stores_are_refused():
    protocol = get_protocol("by-person:3")
    with pytest.raises(WrinkleError, match="1 of 3 rows have no person"):
        protocol.folds(table(names=list("abc"), persons=["p", None, "q"]))
    with pytest.raises(WrinkleError, match="needs 3 people; the store has 2"):
        protocol.folds(table(names=list("abc"), persons=["p", "p", "q"]))
    with pytest.raises(WrinkleError, match="the store is empty"):
        protocol.folds(table(names=[]))
    with pytest.raises(WrinkleError, match="at least 3 folds"):
        get_protocol("by-person:2")


def test_one_picture_with_two_people_is_an_error():
    rows = table(names=list("abc"), persons=["p", "q", "r"], digests=["1", "1", "2"])
    with pytest.raises(WrinkleError, match="share a digest"):
        get_protocol("by-person:3").folds(rows)
