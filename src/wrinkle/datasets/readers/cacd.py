"""CACD, the Cross-Age Celebrity Dataset: 163,446 faces of 2,000 celebrities, ages 14 to 62.

    53_Robin_Williams_0001.jpg   a picture found for the year in which Robin Williams became 53

Faces are cut out, 250×250 pixels. An age is the year that was searched for less the year of birth;
only the pictures of celebrities of ranks 1 to 5 were looked through by people, so the others hold
wrong ones. The names say all that a row needs: celebrity2000_meta.mat, which has the ranks, is not
read, for `wrinkle.protocols` has them too. In it, names and identities correspond one to one.

Source: Chen, Chen, Hsu, "Cross-Age Reference Coding for Age-Invariant Face Recognition and
Retrieval", ECCV 2014.
"""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from wrinkle.datasets.csv_files import inner, jpegs
from wrinkle.datasets.rows import Dropped, Row, parse_age, sort_out
from wrinkle.errors import WrinkleError

_NAME = re.compile(r"(?P<age>\d+)_(?P<person>.+)_\d{4}\.jpg", re.ASCII)


def read(root: Path) -> tuple[list[Row], list[Dropped]]:
    """Rows of the pictures in `root`/CACD2000, or in `root` itself.

    A row's name is the bare file name, its person the celebrity's name with "_" for blanks.
    Pictures that are not named so, or with an impossible age, are dropped. WrinkleError when there
    is no picture of CACD.
    """
    rows, dropped = sort_out(_pictures(inner(root, "CACD2000")))
    if not rows:
        raise WrinkleError(
            f"{root} is not CACD: expected pictures named like 53_Robin_Williams_0001.jpg in it, or"
            " in its folder CACD2000"
        )
    return rows, dropped


def _pictures(folder: Path) -> Iterator[Row | Dropped]:
    for path in jpegs(folder):
        # Some file systems take accents apart; published lists have é as one sign.
        name = unicodedata.normalize("NFC", path.name)
        match = _NAME.fullmatch(name)
        age = parse_age(match["age"]) if match else None
        if match is None:
            yield Dropped(name, "not a name of CACD", "expected age_celebrity_number.jpg")
        elif age is None:
            yield Dropped(name, "impossible age", match["age"])
        else:
            yield Row(path=path, name=name, age=age, source="cacd", person=match["person"])
