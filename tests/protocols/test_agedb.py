from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.tables import agedb as pictures_table
from tests.protocols.tables import sizes, table
from wrinkle.errors import WrinkleError
from wrinkle.protocols import agedb, get_protocol

# Names of the right form, one for each of the 16,488 numbers.
ALL = [f"{n}_SomebodyNo{n % 567}_{1 + n % 100}_{'mf'[n % 2]}.jpg" for n in range(16_488)]


def test_sizes_are_the_published_ones():
    protocol = get_protocol("agedb-dir")
    assert Counter(agedb.parts()) == {"t": 12_208, "v": 2_140, "e": 2_140}
    (fold,) = protocol.folds(pictures_table(ALL))
    assert protocol.sizes == {"dir": (12_208, 2_140, 2_140)} == {fold.name: sizes(fold)}
    assert protocol.checksum == agedb.CHECKSUM
    assert protocol.shares_people is True


def test_three_pictures_of_the_published_list():
    """agedb.csv: 11706 trains, 11684 validates, 16107 tests."""
    assert [agedb.parts()[number] for number in (11706, 11684, 16107)] == list("tve")


@given(st.sets(st.integers(0, 16_487), min_size=150, max_size=200))
def test_the_part_depends_on_the_number_only(numbers):
    names = [f"{n}_StéphaneAudran_44_f.jpg" for n in sorted(numbers)]
    (fold,) = get_protocol("agedb-dir").folds(pictures_table(names))
    letters = np.array([agedb.parts()[n] for n in sorted(numbers)])
    for part, letter in ((fold.train, "t"), (fold.validation, "v"), (fold.test, "e")):
        assert part.tolist() == np.flatnonzero(letters == letter).tolist()


@pytest.mark.parametrize(
    "foreign", ["16488_OliviaHussey_31_f.jpg", "OliviaHussey_31_f.jpg", "53_Robin_Williams_01.jpg"]
)
def test_another_datasets_name_is_an_error(foreign):
    with pytest.raises(WrinkleError, match=r"1 of the store's 2 names.*agedb"):
        get_protocol("agedb-dir").folds(table(names=["11706_OliviaHussey_31_f.jpg", foreign]))


def test_a_store_without_one_part_is_refused():
    trains = [name for name, letter in zip(ALL, agedb.parts(), strict=True) if letter == "t"]
    with pytest.raises(WrinkleError, match="no validation rows"):
        get_protocol("agedb-dir").folds(pictures_table(trains))
