import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.tables import table
from wrinkle.errors import WrinkleError
from wrinkle.protocols import get_protocol


@given(
    digests=st.lists(st.sampled_from([*"abcdefgh", None]), max_size=50).map(
        lambda some: [*some, *"abcdef"]
    ),
    count=st.integers(3, 6),
    seed=st.integers(0, 5),
)
def test_identical_pictures_stay_together_and_everything_is_tested_once(digests, count, seed):
    rows = table(names=[str(i) for i in range(len(digests))], digests=digests)
    folds = get_protocol(f"random:{count}:{seed}").folds(rows)
    for fold in folds:
        parts = fold.train, fold.validation, fold.test
        contents = [{digests[row] for row in part} - {None} for part in parts]
        assert len(set.union(*contents)) == sum(map(len, contents))
        assert sorted(np.concatenate(parts)) == list(range(len(digests)))
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(digests)))


def test_ten_folds_have_parts_of_80_10_10():
    fold = get_protocol("random:10").folds(table(names=[str(i) for i in range(100)]))[0]
    assert [len(part) for part in (fold.train, fold.validation, fold.test)] == [80, 10, 10]


def test_too_few_pictures_are_refused():
    with pytest.raises(WrinkleError, match="needs 5 pictures; the store has 4"):
        get_protocol("random:5").folds(table(names=list("abcd")))
    with pytest.raises(WrinkleError, match="at least 3 folds"):
        get_protocol("random:1")
