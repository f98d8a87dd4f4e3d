"""afad-coral: CORAL's random split of AFAD's faces of ages 15 to 40.

The lists name 13,165 pictures that validate and 32,762 that test; the others train, 118,505 of the
164,432 that the dataset's authors count at these ages. There are no identities, and faces cropped
from one photograph may be in two parts.

Source: Niu, Zhou, Wang, Gao, Hua, "Ordinal regression with multiple output CNN for age estimation",
CVPR 2016 (AFAD); Cao, Mirjalili, Raschka, Pattern Recognition Letters 2020 (CORAL).
"""

import re
from functools import cache

from wrinkle.protocols.listed import listed
from wrinkle.protocols.protocol import PROTOCOLS, Protocol
from wrinkle.protocols.split_lists import read_columns

LIST = "afad.txt.gz"
CHECKSUM = "8f39121ba7d4fb8b6b14dea6fa701b41e4eff73b6ae9d8426a09dc0b3852ebf2"
_NAME = re.compile(r"(?P<age>\d+)/11[12]/\d+-\d+\.jpg", re.ASCII)


@cache
def parts() -> dict[str, str]:
    """Name of a picture without .jpg → v or e, for those that validate or test."""
    names, columns = read_columns(LIST, CHECKSUM, "/")
    return dict(zip(names, columns["coral"], strict=True))


@PROTOCOLS.named("afad-coral")
def afad_coral() -> Protocol:
    """CORAL's split, one fold."""
    return listed(
        name="afad-coral",
        description="AFAD, CORAL's random 72/8/20",
        source="Cao, Mirjalili, Raschka, Pattern Recognition Letters 2020"
        " (list: github.com/Raschka-research-group/coral-cnn)",
        checksum=CHECKSUM,
        dataset="afad",
        shares_people=None,
        sizes={"coral": (118_505, 13_165, 32_762)},
        letters=_letters,
        names=lambda: (f"{name}.jpg" for name in parts()),
    )


def _letters(name: str) -> str | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return parts().get(name.removesuffix(".jpg"), "t" if int(match["age"]) <= 40 else "-")
