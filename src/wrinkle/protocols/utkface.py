"""utkface: one fixed 80/10/10 split of UTKFace, made by lists/make_utkface.py.

Of the 23,707 pictures 595 are left out (176 spare copies of a file, and 419 files of 205 groups of
identical files whose ages contradict each other); 18,504 train, 2,310 validate and 2,298 test. The
661 clusters of near-identical pictures (1,420 pictures) are never divided. A store that lacks some
pictures, because no face was found in them, keeps the split of the others; a name that is not
UTKFace's is an error, and rows of left-out pictures are in no part.
"""

from functools import cache

from wrinkle.protocols.listed import listed
from wrinkle.protocols.protocol import PROTOCOLS, Protocol
from wrinkle.protocols.split_lists import read_list

LIST = "utkface.txt.gz"
CHECKSUM = "b25d840a677a88450b4d933bbad90b1aa9023ef4ceed6f0e99e4cfaf324a4796"
PARTS = ("train", "validation", "test", "left-out")
_LETTERS = dict(zip(PARTS, "tve-", strict=True))


@cache
def parts() -> dict[str, str]:
    """File name → one of PARTS, for every file of UTKFace.

    The list's text has a heading for each part, then its names, one in each line.

    Raises:
        WrinkleError: the packaged file is damaged.
    """
    part, found = "", {}
    for line in read_list(LIST, CHECKSUM).splitlines():
        if line.startswith("# "):
            part = line[2:]
        else:
            found[line] = part
    return found


@PROTOCOLS.register
def utkface() -> Protocol:
    """The packaged split, one fold."""
    return listed(
        name="utkface",
        description="UTKFace 80/10/10, duplicates removed, near-duplicates on one side",
        source="wrinkle (Zhang, Song, Qi, CVPR 2017, publish no split)",
        checksum=CHECKSUM,
        dataset="utkface",
        shares_people=None,
        sizes={"utkface": (18_504, 2_310, 2_298)},
        letters=lambda name: _LETTERS.get(parts().get(name, "")),
        names=lambda: (name for name, part in parts().items() if part != "left-out"),
    )
