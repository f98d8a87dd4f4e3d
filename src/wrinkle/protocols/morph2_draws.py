"""Splits of MORPH II that are drawn, because their papers give a rule but no list.

    morph2-80-20           ADPF's Setting I: 20 partitions into 44,106 and 11,028 photographs
    morph2-80-20-shared    the same by photograph, as most papers do it
    morph2-white           ADPF's Setting III: five folds over 5,492 photographs of White people
    morph2-white-shared    the same by photograph
    morph2-s1-s2-s3-drawn  ADPF's Setting II: S1 and S2 of 10,280 photographs, as many of Black as
                           of White people and three times as many of men as of women, both
                           exactly; S3 is the rest; train on S1 and test on S2 and S3, then train
                           on S2 and test on S1 and S3

Each takes a seed. Unless the name ends in "shared", all photographs of a person are in one part.
Draws are made over the list of all 55,134 photographs, so that a store that lacks some keeps the
split of the others. Nothing validates: the number of epochs is fixed beforehand.

Source: Wang, Sanchez, Li, "Improving face-based age estimation with attention-based dynamic patch
fusion", IEEE TIP 2022 (ADPF), section IV.A. It keeps people apart in Setting I and does not
say so for the others; Yip et al., arXiv:1811.06446, ask for it in Setting II.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

from wrinkle.protocols.fold import parts_of_size, shuffled
from wrinkle.protocols.listed import listed
from wrinkle.protocols.morph2 import CHECKSUM, column, stem
from wrinkle.protocols.protocol import PROTOCOLS, Protocol, Sizes

PARTITIONS = 20
TRAINED, TESTED = 44_106, 11_028
# Test sizes of the five folds of Setting III.
TESTED_WHITE = (1_099, 1_099, 1_098, 1_098, 1_098)
# Photographs of White women in S1, and in S2: nearly the most for which the ratios are exact and
# people are kept apart.
WOMEN = 1_285
_ADPF = "Wang, Sanchez, Li, ADPF, IEEE TIP 2022"

Letters = dict[str, str]


@PROTOCOLS.named("morph2-80-20")
def morph2_80_20(seed: int = 0) -> Protocol:
    """Setting I."""
    return _partitions("morph2-80-20", seed, shares_people=False)


@PROTOCOLS.named("morph2-80-20-shared")
def morph2_80_20_shared(seed: int = 0) -> Protocol:
    """Setting I by photograph."""
    return _partitions("morph2-80-20-shared", seed, shares_people=True)


@PROTOCOLS.named("morph2-white")
def morph2_white(seed: int = 0) -> Protocol:
    """Setting III."""
    return _white("morph2-white", seed, shares_people=False)


@PROTOCOLS.named("morph2-white-shared")
def morph2_white_shared(seed: int = 0) -> Protocol:
    """Setting III by photograph."""
    return _white("morph2-white-shared", seed, shares_people=True)


@PROTOCOLS.named("morph2-s1-s2-s3-drawn")
def morph2_s1_s2_s3_drawn(seed: int = 0) -> Protocol:
    """Setting II."""
    train = 8 * WOMEN
    test = TRAINED + TESTED - train
    return _drawn(
        f"morph2-s1-s2-s3-drawn:{seed}",
        "MORPH II, S1-S2-S3 drawn, Black:White 1:1, men:women 3:1, people apart",
        f"{_ADPF}, Setting II (no list; drawn by wrinkle)",
        {"S1": (train, 0, test), "S2": (train, 0, test)},
        lambda: draw_sets(seed),
        shares_people=False,
    )


@cache
def draw_partitions(seed: int, shares_people: bool) -> Letters:
    """Name without .JPG → a letter for each of the 20 partitions: t trains, e tests."""
    group = _groups(_names("WB-"), shares_people)
    sizes = Counter(group.values())
    letters = dict.fromkeys(sizes, "")
    for partition in range(PARTITIONS):
        order = shuffled(sizes, seed * PARTITIONS + partition)
        tested = set(parts_of_size(order, sizes, [TESTED])[0])
        for key in letters:
            letters[key] += "e" if key in tested else "t"
    return {name: letters[key] for name, key in group.items()}


@cache
def draw_white(seed: int, shares_people: bool) -> Letters:
    """Name without .JPG → a letter for each of the five folds, for the 5,492 drawn."""
    group = _groups(_names("W"), shares_people)
    sizes = Counter(group.values())
    parts = parts_of_size(shuffled(sizes, seed), sizes, TESTED_WHITE)
    letters = {
        key: "".join("e" if fold == number else "t" for fold in range(len(TESTED_WHITE)))
        for number, part in enumerate(parts)
        for key in part
    }
    return {name: letters[key] for name, key in group.items() if key in letters}


@cache
def draw_sets(seed: int) -> Letters:
    """Name without .JPG → a letter for each fold: "te" is in S1, "et" in S2, "ee" in S3."""
    person = _groups(_names("WB-"), shares_people=False)
    sizes = Counter(person.values())
    strata: dict[str, set[str]] = {key: set() for key in sizes}
    for name, key in person.items():
        strata[key].add(column("group")[name] + name[-3])
    letters = dict.fromkeys(sizes, "ee")
    for stratum, quota in (("WF", WOMEN), ("BF", WOMEN), ("WM", 3 * WOMEN), ("BM", 3 * WOMEN)):
        people = shuffled((key for key in sizes if strata[key] == {stratum}), seed)
        # People with one photograph come last: they fill the remaining space.
        people.sort(key=lambda key: sizes[key] == 1)
        first, second = parts_of_size(people, sizes, [quota, quota])
        letters |= dict.fromkeys(first, "te") | dict.fromkeys(second, "et")
    return {name: letters[key] for name, key in person.items()}


def _partitions(name: str, seed: int, *, shares_people: bool) -> Protocol:
    how = "by photograph" if shares_people else "people apart"
    return _drawn(
        f"{name}:{seed}",
        f"MORPH II, 80/20 drawn {PARTITIONS} times, {how}",
        f"{_ADPF}, Setting I (no list; drawn by wrinkle)",
        {str(number + 1): (TRAINED, 0, TESTED) for number in range(PARTITIONS)},
        lambda: draw_partitions(seed, shares_people),
        shares_people=shares_people,
    )


def _white(name: str, seed: int, *, shares_people: bool) -> Protocol:
    how = "by photograph" if shares_people else "people apart"
    return _drawn(
        f"{name}:{seed}",
        f"MORPH II, 5,492 photographs of White people in five folds, {how}",
        f"{_ADPF}, Setting III (no list; drawn by wrinkle)",
        {
            str(number + 1): (sum(TESTED_WHITE) - tested, 0, tested)
            for number, tested in enumerate(TESTED_WHITE)
        },
        lambda: draw_white(seed, shares_people),
        shares_people=shares_people,
    )


def _drawn(
    name: str,
    description: str,
    source: str,
    sizes: dict[str, Sizes],
    draw: Callable[[], Letters],
    *,
    shares_people: bool,
) -> Protocol:
    def letters(photo: str) -> str | None:
        bare = stem(photo)
        return draw().get(bare, "-" * len(sizes)) if bare in column("group") else None

    def names() -> Iterator[str]:
        return (f"{bare}.JPG" for bare in draw())

    return listed(
        name=name,
        description=description,
        source=source,
        checksum=CHECKSUM,
        dataset="morph2",
        shares_people=shares_people,
        sizes=sizes,
        letters=letters,
        names=names,
    )


def _names(groups: str) -> list[str]:
    return [name for name, group in column("group").items() if group in groups]


def _groups(names: list[str], shares_people: bool) -> dict[str, str]:
    """Name → what stays together: the photograph alone, or all photographs of its person."""
    return {name: name if shares_people else name.partition("_")[0] for name in names}
