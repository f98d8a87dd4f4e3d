import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.tables import table
from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import (
    Fold,
    assignment_checksum,
    balanced_parts,
    checked,
    limited,
    parts_of_size,
    shuffled,
)

FOUR = table(names=list("abcd"), persons=["p", "p", "q", None], digests=["1", "2", "1", None])


def _fold(train, validation, test) -> list[Fold]:
    return [Fold("7", *(np.array(rows, np.int64) for rows in (train, validation, test)))]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (([0, 1], [3], [3]), "validation and test share rows"),
        (([0], [1], [2]), "train and test share a digest"),
        (([0, 3], [1], []), "no test rows"),
        (([], [1], [2]), "no train rows"),
        (([0], [], [3]), "no validation rows"),
    ],
)
def test_folds_that_fail_a_check_are_refused(parts, message):
    with pytest.raises(WrinkleError, match=f"fold 7: {message}"):
        checked(_fold(*parts), FOUR)


def test_shared_people_and_empty_validation_can_be_allowed():
    with pytest.raises(WrinkleError, match="share a person"):
        checked(_fold([0], [1], [3]), FOUR, apart=("person",))
    folds = _fold([0], [], [3])
    assert checked(folds, FOUR, apart=("person", "digest"), validated=False) is folds


def test_unknown_values_are_never_shared():
    unknown = table(names=list("abc"), digests=[None, None, None])
    assert checked(_fold([0], [1], [2]), unknown, apart=("person", "digest"))


def test_shuffled_gives_a_fixed_order():
    """The order is part of every published split: a change here changes people's folds."""
    assert shuffled("abcdefgh", 0) == list("hfgdacbe")
    assert shuffled("hgfedcba", 0) == shuffled("abcdefgh", 0)
    assert shuffled("abcdefgh", 1) != shuffled("abcdefgh", 0)


@given(
    sizes=st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 30), min_size=1),
    count=st.integers(1, 8),
)
def test_parts_are_balanced(sizes, count):
    parts = balanced_parts(sizes, count, seed=0)
    assert sorted(key for part in parts for key in part) == sorted(sizes)
    totals = [sum(sizes[key] for key in part) for part in parts]
    assert max(totals) - min(totals) <= max(sizes.values())


@given(
    sizes=st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 9), min_size=1),
    quotas=st.lists(st.integers(1, 20), min_size=1, max_size=4),
)
def test_parts_have_the_given_sizes_or_it_is_an_error(sizes, quotas):
    order = shuffled(sizes, 0)
    try:
        parts = parts_of_size(order, sizes, quotas)
    except WrinkleError:
        assert sum(sizes.values()) < sum(quotas) or max(sizes.values()) > 1
        return
    assert [sum(sizes[key] for key in part) for part in parts] == quotas
    used = [key for part in parts for key in part]
    assert len(used) == len(set(used))
    assert set(used) <= set(sizes)


def test_groups_are_not_divided_and_go_to_the_first_part_with_space():
    sizes = {"a": 3, "b": 2, "c": 2, "d": 1, "e": 1}
    assert parts_of_size("abcde", sizes, [4, 4]) == [["a", "d"], ["b", "c"]]
    with pytest.raises(WrinkleError, match="use another"):
        parts_of_size("abc", sizes, [4])


def test_the_checksum_depends_on_names_and_parts_only():
    names = list("abcd")
    (fold,) = _fold([0, 1], [2], [3])
    (moved,) = _fold([2, 3], [1], [0])  # the same, where the rows come backwards
    assert assignment_checksum([fold], names) == assignment_checksum([moved], names[::-1])
    (other,) = _fold([0, 2], [1], [3])
    assert assignment_checksum([fold], names) != assignment_checksum([other], names)
    assert assignment_checksum([fold], names).startswith("db5f026b5ecd9748")


def test_a_limit_holds_for_every_part() -> None:
    fold = Fold("1", np.arange(100), np.arange(100, 130), np.arange(130, 135))
    small = limited(fold, 20, 0)
    assert [len(part) for part in (small.train, small.validation, small.test)] == [20, 20, 5]
    assert np.isin(small.train, fold.train).all()
    assert not np.array_equal(small.train, limited(fold, 20, 1).train)
    assert limited(fold, None, 0) is fold
