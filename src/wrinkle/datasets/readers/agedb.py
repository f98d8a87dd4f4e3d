"""AgeDB: 16,488 pictures of 567 well-known people, ages 1 to 101, collected by hand.

    11706_OliviaHussey_31_f.jpg   picture 11706, Olivia Hussey, 31 years old, f female, m male

The number alone tells a picture: 131 names hold an accented letter, which programs unpack to
different ones. Three people's names end in a blank on some pictures, which is taken away.

Source: Moschoglou et al., "AgeDB: the first manually collected, in-the-wild age database", CVPR
workshops 2017.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from wrinkle.datasets.csv_files import inner, jpegs
from wrinkle.datasets.rows import Dropped, Row, parse_age, sort_out
from wrinkle.errors import WrinkleError

GENDERS = {"m": "male", "f": "female"}
_NAME = re.compile(
    r"\d+_(?P<person>[^_]*[^_\s])\s*_(?P<age>\d+)_(?P<gender>[mf])\.jpg", re.IGNORECASE
)


def read(root: Path) -> tuple[list[Row], list[Dropped]]:
    """Rows of the pictures in `root`/AgeDB, or in `root` itself; a row's name is the file's.

    Pictures that are not named so, or with an impossible age, are dropped. WrinkleError when there
    is no picture of AgeDB.
    """
    rows, dropped = sort_out(_pictures(inner(root, "AgeDB")))
    if not rows:
        raise WrinkleError(
            f"{root} is not AgeDB: expected pictures named like 11706_OliviaHussey_31_f.jpg in it,"
            " or in its folder AgeDB"
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
    """`name`, or what it says in code page 866 where its bytes are not UTF-8.

    Some programs unpack the archive's bytes as they are. The page is the wrong one (é becomes В),
    but that of published lists.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("cp866")
    return name
