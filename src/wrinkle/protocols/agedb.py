"""agedb-dir: the split of AgeDB-DIR, whose validation and test parts have nearly uniform ages.

12,208 pictures train, 2,140 validate and 2,140 test. 544 people are tested, and all of them also
train; so do the 541 who validate. `by-person` keeps them apart.

The number at the start of a name identifies the picture. The rest is ignored, because programs
unpack accented letters differently.

Source: Moschoglou et al., "AgeDB: the first manually collected, in-the-wild age database", CVPR
Workshops 2017; Yang, Zha, Chen, Wang, Katabi, "Delving into deep imbalanced regression", ICML 2021.
"""

import re
from functools import cache

from wrinkle.protocols.listed import listed
from wrinkle.protocols.protocol import PROTOCOLS, Protocol
from wrinkle.protocols.split_lists import read_columns

LIST = "agedb.txt.gz"
CHECKSUM = "1044e74878c6dcc1e9f0a00a9bbc97c038a35ad1e8bf835111807aefdda94cd2"
_NAME = re.compile(r"(?P<number>\d+)_.+_\d+_[mf]\.jpg", re.ASCII | re.IGNORECASE)


@cache
def parts() -> str:
    """A letter for each picture, in the order of their numbers: t, v or e."""
    return read_columns(LIST, CHECKSUM, "")[1]["dir"]


@PROTOCOLS.named("agedb-dir")
def agedb_dir() -> Protocol:
    """The split of AgeDB-DIR, one fold."""
    return listed(
        name="agedb-dir",
        description="AgeDB-DIR: validation and test with nearly uniform ages",
        source="Yang et al., ICML 2021 (list: github.com/YyzHarry/imbalanced-regression)",
        checksum=CHECKSUM,
        dataset="agedb",
        shares_people=True,
        sizes={"dir": (12_208, 2_140, 2_140)},
        letters=_letters,
    )


def _letters(name: str) -> str | None:
    match = _NAME.fullmatch(name)
    number = int(match["number"]) if match else len(parts())
    return parts()[number] if number < len(parts()) else None
