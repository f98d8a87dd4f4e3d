from collections import Counter
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocols.tables import morph2 as photos_table
from tests.protocols.tables import shared, sides, sizes, some_of, table
from wrinkle.errors import WrinkleError
from wrinkle.protocols import get_protocol, morph2

ALL = [f"{name}.JPG" for name in morph2.column("group")]
TABLE = photos_table(ALL)
PUBLISHED = {
    "morph2-random": {"random": (44_106, 0, 11_028)},
    "morph2-partial": {"partial": (4_381, 0, 1_094)},
    "morph2-s1-s2-s3": {"S1": (10_588, 0, 44_452), "S2": (10_590, 0, 44_450)},
    "morph2-coral": {"coral": (39_764, 4_416, 11_044)},
}
# People who are tested and also train, and the tested photographs of them.
SHARED = {
    "morph2-random": {"random": (7_152, 10_578)},
    "morph2-partial": {"partial": (745, 832)},
    "morph2-s1-s2-s3": {"S1": (5_909, 19_624), "S2": (5_974, 19_873)},
    "morph2-coral": {"coral": (6_974, 10_403)},
}


@cache
def _complete(name):
    folds = get_protocol(name).folds(TABLE)
    return folds, [sides(fold, "name", TABLE) for fold in folds]


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_and_shared_people_are_the_published_ones(name):
    protocol = get_protocol(name)
    folds, _ = _complete(name)
    assert protocol.sizes == PUBLISHED[name] == {fold.name: sizes(fold) for fold in folds}
    assert protocol.shares_people is True
    assert protocol.checksum == morph2.CHECKSUM
    found = {fold.name: shared(fold, TABLE) for fold in folds}
    assert found == SHARED[name]
    for fold, (people, pictures) in found.items():
        assert f"{people:,}" in morph2.__doc__
        assert f"{pictures / PUBLISHED[name][fold][2]:.0%}".replace("%", " %") in morph2.__doc__


def test_the_list_is_that_of_55134_photographs_of_13617_people():
    group = morph2.column("group")
    owners = [name for name in group if group[name] != "."]
    assert Counter(group.values()) == {"B": 42_589, "W": 10_559, "-": 1_986, ".": 211}
    assert len(owners) == 55_134
    assert len({name.partition("_")[0] for name in owners}) == 13_617


def test_only_corals_split_has_photographs_outside_the_owners_table():
    group = morph2.column("group")
    for heading in ("random", "partial", "s1-s2-s3"):
        assert {p for n, p in morph2.column(heading).items() if group[n] == "."} == {"-"}
    assert "-" not in {p for n, p in morph2.column("coral").items() if group[n] == "."}
    assert set(morph2.column("random").values()) == {"t", "e", "-"}
    assert list(morph2.column("random").values()).count("-") == 211


def test_s1_s2_and_s3_are_disjoint_and_keep_the_ratios():
    part, group = morph2.column("s1-s2-s3"), morph2.column("group")
    assert Counter(part.values()) == {"1": 10_588, "2": 10_590, "3": 33_862, "-": 94 + 211}
    for number in "12":
        names = [name for name, letter in part.items() if letter == number]
        groups = Counter(group[name] for name in names)
        genders = Counter(name[-3] for name in names)
        assert groups["B"] / groups["W"] == pytest.approx(1, abs=0.02)
        assert genders["M"] / genders["F"] == pytest.approx(3, abs=0.1)


@settings(deadline=None)  # the first example of a protocol waits for its complete split
@given(st.data(), st.sampled_from(list(PUBLISHED)))
def test_any_share_of_the_photographs_keeps_its_split(data, name):
    protocol = get_protocol(name)
    held = data.draw(some_of(list(protocol.names()), 200)) | data.draw(some_of(ALL, 20))
    rows = photos_table(sorted(held))
    for fold, complete in zip(protocol.folds(rows), _complete(name)[1], strict=True):
        assert sides(fold, "name", rows) == [part & held for part in complete]


def test_the_extension_may_be_in_lower_case():
    small = photos_table([name.replace(".JPG", ".jpg") for name in ALL])
    ((ours,), _), (theirs,) = _complete("morph2-coral"), get_protocol("morph2-coral").folds(small)
    for part in ("train", "validation", "test"):
        assert getattr(ours, part).tolist() == getattr(theirs, part).tolist()


@pytest.mark.parametrize(
    "foreign", ["320711_00M34", "320711_99M34.JPG", "x/320711_00M34.JPG", "1_0_0_2.jpg.chip.jpg"]
)
def test_another_datasets_name_is_an_error(foreign):
    with pytest.raises(WrinkleError, match=r"1 of the store's 2 names.*morph2"):
        get_protocol("morph2-random").folds(table(names=["320711_00M34.JPG", foreign]))


def test_a_store_without_one_part_is_refused():
    trains = [f"{n}.JPG" for n, letter in morph2.column("random").items() if letter == "t"]
    with pytest.raises(WrinkleError, match="fold random: no test rows"):
        get_protocol("morph2-random").folds(photos_table(trains[:10]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_names_are_those_of_all_parts(name):
    used = set().union(*(part for parts in _complete(name)[1] for part in parts))
    assert set(get_protocol(name).names()) == used
