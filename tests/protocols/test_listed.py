import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.tables import sides, sizes, table
from wrinkle.errors import WrinkleError
from wrinkle.protocols.listed import listed

LETTERS = {"a": "te", "b": "te", "c": "vt", "d": "vt", "e": "et", "f": "e-", "g": "--"}


def _protocol(shares_people=None):
    return listed(
        name="small",
        description="seven pictures",
        source="nobody",
        checksum=None,
        dataset="folder",
        shares_people=shares_people,
        sizes={"one": (2, 2, 2), "two": (3, 0, 2)},
        letters=LETTERS.get,
    )


def test_each_letter_is_the_part_in_one_fold():
    rows = table(names=list("gfedcba"))
    one, two = _protocol().folds(rows)
    assert (one.name, two.name) == ("one", "two")
    assert sides(one, "name", rows) == [set("ab"), set("cd"), set("ef")]
    assert sides(two, "name", rows) == [set("cde"), set(), set("ab")]


@given(st.sets(st.sampled_from("abcdefg")))
def test_a_store_that_lacks_some_keeps_the_split_of_the_others(names):
    rows = table(names=sorted(names))
    complete = {"one": [set("ab"), set("cd"), set("ef")], "two": [set("cde"), set(), set("ab")]}
    expected = {fold: [part & names for part in parts] for fold, parts in complete.items()}
    needed = [*expected["one"], expected["two"][0], expected["two"][2]]
    if all(needed):
        for fold in _protocol().folds(rows):
            assert sides(fold, "name", rows) == expected[fold.name]
    else:
        with pytest.raises(WrinkleError, match=r"fold (one|two): no \w+ rows|0 of the store's 0"):
            _protocol().folds(rows)


def test_another_name_is_an_error():
    with pytest.raises(WrinkleError, match=r"1 of the store's 3 names .* folder \(not: x\.jpg\)"):
        _protocol().folds(table(names=["a", "x.jpg", "y.jpg"]))
    with pytest.raises(WrinkleError, match="0 of the store's 0 names"):
        _protocol().folds(table(names=[]))


def test_shared_people_are_an_error_unless_the_protocol_allows_them():
    rows = table(names=list("abcdef"), persons=["p", "q", "r", "s", "t", "p"])
    for known_for_it in (False, None):
        with pytest.raises(WrinkleError, match="fold one: train and test share a person"):
            _protocol(known_for_it).folds(rows)
    one, _ = _protocol(shares_people=True).folds(rows)
    assert sizes(one) == (2, 2, 2)


def test_separating_people_needs_identities():
    with pytest.raises(WrinkleError, match="6 of 6 rows have no person"):
        _protocol(shares_people=False).folds(table(names=list("abcdef")))
    with pytest.raises(WrinkleError, match="train and test share a digest"):
        _protocol().folds(table(names=list("abcdef"), digests=list("123451")))
