import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.tables import sides, sizes, table
from wrinkle.errors import WrinkleError
from wrinkle.protocols import get_protocol

PUBLISHED = {"lap-2015": (2_476, 1_136, 1_079), "lap-2016": (4_113, 1_500, 1_978)}
PARTS = ("train", "validation", "test")


def _names(counts):
    return [
        f"{part}/{number:06}.jpg"
        for part, count in zip(PARTS, counts, strict=True)
        for number in range(count)
    ]


@pytest.mark.parametrize("name", PUBLISHED)
def test_complete_releases_have_the_published_sizes(name):
    protocol = get_protocol(name)
    (fold,) = protocol.folds(table(names=_names(PUBLISHED[name])))
    assert protocol.sizes == {name: PUBLISHED[name]} == {fold.name: sizes(fold)}
    assert protocol.shares_people is None
    assert protocol.names is None


@given(st.sampled_from(list(PUBLISHED)), st.tuples(*[st.integers(1, 30)] * 3))
def test_the_first_folder_is_the_part(name, counts):
    rows = table(names=_names(counts)[::-1])
    (fold,) = get_protocol(name).folds(rows)
    for part, names in zip(PARTS, sides(fold, "name", rows), strict=True):
        assert {picture.partition("/")[0] for picture in names} == {part}
    assert sizes(fold) == counts


def test_the_larger_release_is_refused_for_the_smaller():
    rows = table(names=_names(PUBLISHED["lap-2016"]))
    with pytest.raises(WrinkleError, match=r"4,113 .*2,476"):
        get_protocol("lap-2015").folds(rows)


@pytest.mark.parametrize("foreign", ["000001.jpg", "tests/000001.jpg", "18/111/1234-0.jpg"])
def test_another_folder_is_an_error(foreign):
    with pytest.raises(WrinkleError, match=r"3 of the store's 4 names.*lap"):
        get_protocol("lap-2015").folds(table(names=[*_names((1, 1, 1)), foreign]))


def test_a_missing_part_is_an_error():
    with pytest.raises(WrinkleError, match="no test rows"):
        get_protocol("lap-2016").folds(table(names=_names((2, 2, 0))))
