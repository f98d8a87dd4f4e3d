from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.tables import cacd as pictures_table
from tests.protocols.tables import shared, sides, sizes, some_of, table
from wrinkle.errors import WrinkleError
from wrinkle.protocols import cacd, get_protocol

ALL = list(cacd.pictures())
TABLE = pictures_table(ALL)
RANK = {
    person: cacd.pictures()[name].rank
    for name, person in zip(ALL, TABLE["person"].to_pylist(), strict=True)
}
PUBLISHED = {
    "cacd-test-120": {"train": (145_275, 7_600, 10_571), "validation": (7_600, 0, 10_571)},
    "cacd-test-80": {"train": (145_275, 10_571, 7_600), "validation": (10_571, 0, 7_600)},
    "cacd-coral": {"coral": (114_804, 12_755, 31_890)},
}


def test_the_list_is_that_of_2000_celebrities_40_to_a_rank():
    assert len(ALL) == 163_446
    assert Counter(RANK.values()) == dict.fromkeys(range(1, 51), 40)
    assert RANK["Robin_Williams"] == 1
    assert cacd.pictures()["53_Robin_Williams_0001.jpg"].rank == 1
    assert RANK["Stellan_Skarsgård"] == 4
    assert Counter(picture.coral for picture in cacd.pictures().values())["-"] == 3_997


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_the_published_ones(name):
    protocol = get_protocol(name)
    folds = protocol.folds(TABLE)
    assert protocol.sizes == PUBLISHED[name] == {fold.name: sizes(fold) for fold in folds}
    assert protocol.checksum == cacd.CHECKSUM
    used = set().union(*(part for fold in folds for part in sides(fold, "name", TABLE)))
    assert set(protocol.names()) == used


@pytest.mark.parametrize(
    ("name", "validate", "test"),
    [("cacd-test-120", (1, 2), (3, 4, 5)), ("cacd-test-80", (3, 4, 5), (1, 2))],
)
def test_celebrities_are_split_by_rank(name, validate, test):
    protocol = get_protocol(name)
    assert protocol.shares_people is False
    on_train, on_validation = protocol.folds(TABLE)
    of = {
        ranks: {person for person, rank in RANK.items() if rank in ranks}
        for ranks in (validate, test, tuple(range(6, 51)))
    }
    assert sides(on_train, "person", TABLE) == [of[tuple(range(6, 51))], of[validate], of[test]]
    assert sides(on_validation, "person", TABLE) == [of[validate], set(), of[test]]


def test_all_people_of_corals_test_part_are_in_training():
    protocol = get_protocol("cacd-coral")
    (fold,) = protocol.folds(TABLE)
    assert protocol.shares_people is True
    assert shared(fold, TABLE) == (1_983, 31_890)


def _of_ranks(least, most):
    return [name for name in ALL if least <= cacd.pictures()[name].rank <= most]


@given(
    name=st.sampled_from(["cacd-test-120", "cacd-test-80"]),
    trained=some_of(_of_ranks(6, 50), 50),
    eighty=some_of(_of_ranks(1, 2), 20),
    hundred_and_twenty=some_of(_of_ranks(3, 5), 20),
)
def test_any_share_of_the_pictures_separates_celebrities(name, trained, eighty, hundred_and_twenty):
    validated, tested = eighty, hundred_and_twenty
    if name == "cacd-test-80":
        validated, tested = tested, validated
    rows = pictures_table(sorted(trained | validated | tested))
    on_train, on_validation = get_protocol(name).folds(rows)
    assert sides(on_train, "name", rows) == [trained, validated, tested]
    assert sides(on_validation, "name", rows) == [validated, set(), tested]
    for fold in (on_train, on_validation):
        people = sides(fold, "person", rows)
        assert len(set.union(*people)) == sum(map(len, people))


def test_unsuitable_stores_are_refused():
    protocol = get_protocol("cacd-test-120")
    with pytest.raises(WrinkleError, match="2 of 2 rows have no person"):
        protocol.folds(table(names=ALL[:2]))
    with pytest.raises(WrinkleError, match="fold train: no train rows"):
        protocol.folds(pictures_table(_of_ranks(1, 5)))
    for foreign in ("53_Robin_Wiliams_0001.jpg", "99_Robin_Williams_0001.jpg", "train/a.jpg"):
        with pytest.raises(WrinkleError, match="1 of the store's 2 names"):
            protocol.folds(table(names=[ALL[0], foreign], persons=["a", "b"]))
