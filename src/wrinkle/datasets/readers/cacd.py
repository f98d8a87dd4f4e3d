"""CACD, the Cross-Age Celebrity Dataset: 163,446 faces of 2,000 celebrities, ages 14 to 62.

    53_Robin_Williams_0001.jpg   a picture found for the year in which Robin Williams became 53

Faces are cropped to 250×250 pixels. An age is the year that was searched for minus the year of
birth. Only the pictures of celebrities of ranks 1 to 5 were checked by people; the others contain
wrong ones. The names hold all that a row needs. celebrity2000_meta.mat, which has the ranks, is not
read, because `wrinkle.protocols.cacd` has them too; in it, names and identities correspond one to
one.

Source: Chen, Chen, Hsu, "Cross-Age Reference Coding for Age-Invariant Face Recognition and
Retrieval", ECCV 2014.
"""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from wrinkle.datasets.dataset import DATASETS, Dataset
from wrinkle.datasets.folders import inner, jpegs
from wrinkle.datasets.rows import Dropped, Row, parse_age, separate
from wrinkle.errors import WrinkleError

_NAME = re.compile(r"(?P<age>\d+)_(?P<person>.+)_\d{4}\.jpg", re.ASCII)


@DATASETS.named("cacd")
class CACD(Dataset):
    """The folder CACD2000."""

    description = "CACD: 163,446 faces of 2,000 celebrities, ages 14–62; noisy above rank 5"
    terms = "academic research only; copyright stays with the owners of the pictures"
    obtain = "https://bcsiriuschen.github.io/CARC/ (CACD2000.tar.gz, face images)"

    def read(self, root: Path) -> tuple[list[Row], list[Dropped]]:
        """Rows of the pictures in `root`/CACD2000, or in `root` itself.

        A row's name is the bare file name, its person the celebrity's name with "_" for blanks.
        Pictures with other names or an impossible age are dropped.

        Raises:
            WrinkleError: there is no picture of CACD.
        """
        rows, dropped = separate(_pictures(inner(root, "CACD2000")))
        if not rows:
            raise WrinkleError(
                f"{root} is not CACD: expected pictures named like 53_Robin_Williams_0001.jpg in"
                " it, or in its folder CACD2000"
            )
        return rows, dropped


def _pictures(folder: Path) -> Iterator[Row | Dropped]:
    for path in jpegs(folder):
        # Some file systems decompose accented letters; published lists have them composed.
        name = unicodedata.normalize("NFC", path.name)
        match = _NAME.fullmatch(name)
        age = parse_age(match["age"]) if match else None
        if match is None:
            yield Dropped(name, "not a name of CACD", "expected age_celebrity_number.jpg")
        elif age is None:
            yield Dropped(name, "impossible age", match["age"])
        else:
            yield Row(path=path, name=name, age=age, source="cacd", person=match["person"])
