from collections import Counter

import pytest
from hypothesis import given

from tests.protocols.tables import sides, sizes, some_of, table
from wrinkle.errors import WrinkleError
from wrinkle.protocols import afad, get_protocol

LISTED = [f"{name}.jpg" for name in afad.parts()]
# No picture has so high a number, so these are not in the lists: they train.
OTHERS = [f"{15 + n % 26}/{111 + n % 2}/{10**9 + n}-0.jpg" for n in range(164_432 - len(LISTED))]


def test_sizes_are_the_published_ones():
    protocol = get_protocol("afad-coral")
    assert Counter(afad.parts().values()) == {"v": 13_165, "e": 32_762}
    (fold,) = protocol.folds(table(names=[*OTHERS, *LISTED]))
    assert protocol.sizes == {"coral": (118_505, 13_165, 32_762)} == {fold.name: sizes(fold)}
    assert protocol.checksum == afad.CHECKSUM
    assert protocol.shares_people is None
    assert set(protocol.names()) == set(LISTED)


@given(some_of(LISTED, 100), some_of(OTHERS, 5))
def test_any_share_of_the_pictures_keeps_its_split(listed, others):
    rows = table(names=sorted(listed | others))
    (fold,) = get_protocol("afad-coral").folds(rows)
    validation, test = (
        {name for name in listed if afad.parts()[name.removesuffix(".jpg")] == letter}
        for letter in "ve"
    )
    assert sides(fold, "name", rows) == [others, validation, test]


def test_faces_over_40_are_in_no_part():
    names = ["40/111/1-0.jpg", "41/111/1-0.jpg", "75/112/1-0.jpg", *LISTED]
    (fold,) = get_protocol("afad-coral").folds(table(names=names))
    assert fold.train.tolist() == [0]


@pytest.mark.parametrize("foreign", ["1234-0.jpg", "18/113/1234-0.jpg", "train/1234-0.jpg"])
def test_another_datasets_name_is_an_error(foreign):
    with pytest.raises(WrinkleError, match=r"1 of the store's 2 names.*afad"):
        get_protocol("afad-coral").folds(table(names=["18/111/1234-0.jpg", foreign]))


def test_a_store_without_one_part_is_refused():
    with pytest.raises(WrinkleError, match="no train rows"):
        get_protocol("afad-coral").folds(table(names=LISTED))
