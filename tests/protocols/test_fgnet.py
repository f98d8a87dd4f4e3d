from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.tables import sizes, table
from wrinkle.datasets import read_dataset
from wrinkle.errors import WrinkleError
from wrinkle.protocols import get_protocol


@given(
    persons=st.lists(st.sampled_from("abcdefgh"), max_size=60).map(lambda some: [*some, *"abcd"]),
    held=st.integers(0, 2),
    seed=st.integers(0, 3),
)
def test_every_person_is_left_out_once(persons, held, seed):
    rows = table(names=[str(i) for i in range(len(persons))], persons=persons)
    folds = get_protocol(f"fgnet-lopo:{held}:{seed}").folds(rows)
    assert [fold.name for fold in folds] == sorted(set(persons))
    for fold in folds:
        assert {persons[row] for row in fold.test} == {fold.name}
        assert len({persons[row] for row in fold.validation}) == held
        parts = fold.train, fold.validation, fold.test
        people = [{persons[row] for row in part} for part in parts]
        assert len(set.union(*people)) == sum(map(len, people))
        assert sorted(np.concatenate(parts)) == list(range(len(persons)))


def test_validation_people_differ_between_folds_and_not_between_runs():
    persons = [f"{i:03d}" for i in range(82)]
    rows = table(names=persons, persons=persons)
    first = get_protocol("fgnet-lopo:8").folds(rows)
    again = get_protocol("fgnet-lopo:8:0").folds(rows)
    other = get_protocol("fgnet-lopo:8:1").folds(rows)
    drawn = [tuple(fold.validation) for fold in first]
    assert drawn == [tuple(fold.validation) for fold in again]
    assert drawn != [tuple(fold.validation) for fold in other]
    assert len(set(drawn)) == 82
    often = Counter(row for rows in drawn for row in rows)
    assert often == dict.fromkeys(range(82), 8)


def test_unsuitable_stores_are_refused():
    with pytest.raises(WrinkleError, match="2 of 2 rows have no person"):
        get_protocol("fgnet-lopo").folds(table(names=["a", "b"]))
    with pytest.raises(WrinkleError, match="needs 3 people; the store has 2"):
        get_protocol("fgnet-lopo:1").folds(table(names=["a", "b"], persons=["p", "q"]))
    with pytest.raises(WrinkleError, match="cannot validate on -1"):
        get_protocol("fgnet-lopo:-1")


def test_sizes_are_those_of_82_people_in_1002_pictures():
    published = get_protocol("fgnet-lopo").sizes
    assert list(published) == [f"{person:03}" for person in range(1, 83)]
    assert sum(test for _, _, test in published.values()) == 1002
    assert {train + test for train, _, test in published.values()} == {1002}
    assert get_protocol("fgnet-lopo:8").sizes == {}


@pytest.mark.data
def test_the_real_dataset_has_82_folds(data_root):
    rows, _ = read_dataset("fgnet", data_root / "fgnet")
    store = table(names=[row.name for row in rows], persons=[row.person for row in rows])
    folds = get_protocol("fgnet-lopo").folds(store)
    assert len(folds) == 82
    assert sum(len(fold.test) for fold in folds) == 1002
    assert all(len(fold.validation) == 0 for fold in folds)
    assert all(len(fold.train) + len(fold.test) == 1002 for fold in folds)
    assert {fold.name: sizes(fold) for fold in folds} == get_protocol("fgnet-lopo").sizes
