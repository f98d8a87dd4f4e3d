"""AgeDB: 16,488 pictures of 567 well-known people, ages 1 to 101, collected by hand.

    11706_OliviaHussey_31_f.jpg   picture 11706, Olivia Hussey, 31 years old, f female, m male

Only the number identifies a picture: 131 names contain an accented letter, which programs unpack
differently. Three people's names end in a blank on some pictures; it is removed.

Source: Moschoglou et al., "AgeDB: the first manually collected, in-the-wild age database", CVPR
workshops 2017.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from wrinkle.datasets.dataset import DATASETS, Dataset
from wrinkle.datasets.folders import inner, jpegs
from wrinkle.datasets.rows import Dropped, Row, parse_age, separate
from wrinkle.errors import WrinkleError

GENDERS = {"m": "male", "f": "female"}
_NAME = re.compile(
    r"\d+_(?P<person>[^_]*[^_\s])\s*_(?P<age>\d+)_(?P<gender>[mf])\.jpg", re.IGNORECASE
)


@DATASETS.named("agedb")
class AgeDB(Dataset):
    """The folder AgeDB."""

    description = "AgeDB: 16,488 pictures of 567 well-known people, ages 1–101, with gender"
    terms = "non-commercial research only"
    obtain = "https://ibug.doc.ic.ac.uk/resources/agedb/ (AgeDB.zip; its authors give the password)"

    def read(self, root: Path) -> tuple[list[Row], list[Dropped]]:
        """Rows of the pictures in `root`/AgeDB, or in `root` itself; a row's name is the file's.

        Pictures with other names or an impossible age are dropped.

        Raises:
            WrinkleError: there is no picture of AgeDB.
        """
        rows, dropped = separate(_pictures(inner(root, "AgeDB")))
        if not rows:
            raise WrinkleError(
                f"{root} is not AgeDB: expected pictures named like 11706_OliviaHussey_31_f.jpg in"
                " it, or in its folder AgeDB"
            )
        return rows, dropped


def _pictures(folder: Path) -> Iterator[Row | Dropped]:
    for path in jpegs(folder):
        name = _text(path.name)
        match = _NAME.fullmatch(name)
        age = parse_age(match["age"]) if match else None
        if match is None:
            yield Dropped(name, "not a name of AgeDB", "expected number_person_age_gender.jpg")
        elif age is None:
            yield Dropped(name, "impossible age", match["age"])
        else:
            yield Row(
                path=path,
                name=name,
                age=age,
                source="agedb",
                person=match["person"],
                gender=GENDERS[match["gender"].lower()],
            )


def _text(name: str) -> str:
    """`name`, decoded with code page 866 where its bytes are not UTF-8.

    Some programs write the archive's bytes unchanged. The page is the wrong one (é becomes В), but
    published lists use it.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("cp866")
    return name
