"""The splits of CACD: cacd-test-120, cacd-test-80 and cacd-coral.

CACD ranks its 2,000 celebrities, 40 to a rank; only the pictures of ranks 1 to 5 were cleaned by
hand. Papers split by rank, but disagree on which of the two clean sets is the test set:

    ranks       celebrities  pictures  cacd-test-120 (DHAA)  cacd-test-80 (ADPF)
    6 to 50     1,800        145,275   train                 train
    1 and 2     80           7,600     validation            test
    3 to 5      120          10,571    test                  validation

Both papers train once on the training set (fold "train") and once on the validation set (fold
"validation", in which nothing validates). All pictures of a celebrity are in one part. DHAA's is
the split of the dataset's own paper, and of DRFs and AgeED.

cacd-coral is CORAL's random split by picture, 114,804, 12,755 and 31,890 of the 163,446. 1,983
celebrities are tested, and all of them also train.

Source: Chen, Chen, Hsu, "Cross-age reference coding for age-invariant face recognition and
retrieval", ECCV 2014; Tan et al., IEEE TPAMI 2018; Wang, Sanchez, Li, IEEE TIP 2022 (ADPF); Cao,
Mirjalili, Raschka, Pattern Recognition Letters 2020 (CORAL).
"""

from functools import cache
from typing import NamedTuple

from wrinkle.protocols.listed import listed
from wrinkle.protocols.protocol import PROTOCOLS, Protocol, Sizes
from wrinkle.protocols.split_lists import read_list

LIST = "cacd.txt.gz"
CHECKSUM = "ffa3f59203cfaaeb93e03fd797ba0add6ce56522c141149571778c99345fae9c"


class Picture(NamedTuple):
    """A picture's celebrity's rank, 1 to 50, and its part in CORAL's split: t, v, e or "-"."""

    rank: int
    coral: str


@cache
def pictures() -> dict[str, Picture]:
    """Name of every picture of CACD → its celebrity's rank and its part in CORAL's split.

    A line of the list's text is a celebrity, the rank, and for each age the letters of pictures 1,
    2, …; "." where there is no such picture: "50_Cent 47 29..t" is 29_50_Cent_0003.jpg.
    """
    found = {}
    for line in read_list(LIST, CHECKSUM).splitlines():
        celebrity, rank, *ages = line.split()
        for entry in ages:
            age = entry.rstrip("tve-.")
            for number, coral in enumerate(entry[len(age) :], 1):
                if coral != ".":
                    found[f"{age}_{celebrity}_{number:04}.jpg"] = Picture(int(rank), coral)
    return found


@PROTOCOLS.named("cacd-test-120")
def cacd_test_120() -> Protocol:
    """80 celebrities validate and 120 test, as in DHAA."""
    return _by_rank(
        "cacd-test-120",
        "CACD by rank: 1,800 celebrities train, 80 validate, 120 test",
        "Chen, Chen, Hsu, ECCV 2014; Tan et al., IEEE TPAMI 2018; DHAA, IJCAI 2019",
        {"train": (145_275, 7_600, 10_571), "validation": (7_600, 0, 10_571)},
        ("vt", "ee", "t-"),
    )


@PROTOCOLS.named("cacd-test-80")
def cacd_test_80() -> Protocol:
    """120 celebrities validate and 80 test, as in ADPF."""
    return _by_rank(
        "cacd-test-80",
        "CACD by rank: 1,800 celebrities train, 120 validate, 80 test",
        "Wang, Sanchez, Li, ADPF, IEEE TIP 2022",
        {"train": (145_275, 10_571, 7_600), "validation": (10_571, 0, 7_600)},
        ("ee", "vt", "t-"),
    )


@PROTOCOLS.named("cacd-coral")
def cacd_coral() -> Protocol:
    """CORAL's split."""

    def letters(name: str) -> str | None:
        picture = pictures().get(name)
        return picture.coral if picture else None

    return listed(
        name="cacd-coral",
        description="CACD, CORAL's random 72/8/20",
        source="Cao, Mirjalili, Raschka, Pattern Recognition Letters 2020"
        " (list: github.com/Raschka-research-group/coral-cnn)",
        checksum=CHECKSUM,
        dataset="cacd",
        shares_people=True,
        sizes={"coral": (114_804, 12_755, 31_890)},
        letters=letters,
        names=lambda: (name for name, picture in pictures().items() if picture.coral != "-"),
    )


def _by_rank(
    name: str, description: str, source: str, sizes: dict[str, Sizes], by_rank: tuple[str, str, str]
) -> Protocol:
    """A split by rank.

    Args:
        by_rank: a letter for each fold, for ranks 1 and 2, for 3 to 5, and for the others.
    """

    def letters(picture_name: str) -> str | None:
        picture = pictures().get(picture_name)
        return by_rank[(picture.rank > 2) + (picture.rank > 5)] if picture else None

    return listed(
        name=name,
        description=description,
        source=source,
        checksum=CHECKSUM,
        dataset="cacd",
        shares_people=False,
        sizes=sizes,
        letters=letters,
        names=pictures,
    )
