import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.tables import table
from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import Fold, checked, deal, shuffled

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
def test_a_fold_that_breaks_its_promise(parts, message):
    with pytest.raises(WrinkleError, match=f"fold 7: {message}"):
        checked(_fold(*parts), FOUR)


def test_people_and_empty_validation_are_the_protocols_choice():
    with pytest.raises(WrinkleError, match="share a person"):
        checked(_fold([0], [1], [3]), FOUR, apart=("person",))
    folds = _fold([0], [], [3])
    assert checked(folds, FOUR, apart=("person", "digest"), validated=False) is folds


def test_unknown_values_are_nobodys():
    unknown = table(names=list("abc"), digests=[None, None, None])
    assert checked(_fold([0], [1], [2]), unknown, apart=("person", "digest"))


def test_shuffled_is_pinned():
    """The order is part of every published split: a change here changes people's folds."""
    assert shuffled("abcdefgh", 0) == list("hfgdacbe")
    assert shuffled("hgfedcba", 0) == shuffled("abcdefgh", 0)
    assert shuffled("abcdefgh", 1) != shuffled("abcdefgh", 0)


@given(
    sizes=st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 30), min_size=1),
    count=st.integers(1, 8),
)
def test_hands_are_level(sizes, count):
    hands = deal(sizes, count, seed=0)
    assert sorted(key for hand in hands for key in hand) == sorted(sizes)
    weights = [sum(sizes[key] for key in hand) for hand in hands]
    assert max(weights) - min(weights) <= max(sizes.values())
