"""MORPH Album 2: 55,134 police photographs of 13,617 people, ages 16 to 77, in the owners' folder
for non-commercial use.

    morph_2008_nonCommercial.csv   id_num,picture_num,dob,doa,race,gender,facial_hair,age,age_diff,
                                   glasses,photo
    Album2/009055_0M54.JPG         subject 009055, picture 0, male, 54 years old

Without the CSV file, age and gender are taken from the names and the race is unknown. Where both
are given, the CSV file is used: three pictures' names have the other gender. Labels are not
consistent: 34 people have pictures with two genders or two races.

Source: Ricanek, Tesafaye, "MORPH: A Longitudinal Image Database of Normal Adult Age-Progression",
FG 2006.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from wrinkle.datasets.dataset import DATASETS, Dataset
from wrinkle.datasets.folders import inner, jpegs
from wrinkle.datasets.rows import Dropped, Row, parse_age, separate
from wrinkle.errors import WrinkleError
from wrinkle.tables import read_table

GENDERS = {"M": "male", "F": "female"}
GROUPS = {"W": "White", "B": "Black", "A": "Asian", "H": "Hispanic", "O": "Other"}
_NAME = re.compile(
    r"(?P<person>\d{6})_\d+(?P<gender>[MF])(?P<age>\d+)\.JPG", re.IGNORECASE | re.ASCII
)
_COLUMNS = ("race", "gender", "age", "photo")


@DATASETS.named("morph2")
class Morph2(Dataset):
    """The folder Album2 and the CSV file beside it."""

    description = (
        "MORPH Album 2: 55,134 police photographs of 13,617 people, ages 16–77, with gender and"
        " race"
    )
    terms = "non-commercial research, by the university's licence; the people were under arrest"
    obtain = (
        "University of North Carolina Wilmington, https://uncw.edu/oic/tech/morph.html (folder"
        " Album2 and morph_2008_nonCommercial.csv beside it)"
    )

    def read(self, root: Path) -> tuple[list[Row], list[Dropped]]:
        """Rows of the photographs that the CSV file in `root` lists, or of all in `root`/Album2.

        A row's name is the bare file name and its person the first six digits, as in published
        split lists. Lines with an unknown picture, another name or an impossible age are dropped.

        Raises:
            WrinkleError: there are several CSV files, the one lacks a column, or there is neither a
                CSV file nor a photograph.
        """
        tables = sorted(root.glob("*.csv"))
        if len(tables) > 1:
            names = ", ".join(table.name for table in tables[:3])
            raise WrinkleError(
                f"{root} has several CSV files ({names}): keep only morph_2008_nonCommercial.csv"
            )
        rows, dropped = separate(_listed(tables[0]) if tables else _named(inner(root, "Album2")))
        if not rows and not tables:
            raise WrinkleError(
                f"{root} is not MORPH Album 2: expected morph_2008_nonCommercial.csv and the folder"
                " Album2 with photographs named like 009055_0M54.JPG"
            )
        return rows, dropped


def _listed(table: Path) -> Iterator[Row | Dropped]:
    for number, cells in read_table(table, _COLUMNS).lines:
        path = table.parent / cells["photo"]
        if os.path.isfile(path):
            group = GROUPS.get(cells["race"])
            yield _row(path, cells["age"], cells["gender"], group, f"line {number}: ")
        else:
            yield Dropped(path.name, "no such picture", f"line {number}: {cells['photo']}")


def _named(folder: Path) -> Iterator[Row | Dropped]:
    for path in jpegs(folder):
        match = _NAME.fullmatch(path.name)
        age, gender = match.group("age", "gender") if match else ("", "")
        yield _row(path, age, gender.upper(), None, "")


def _row(path: Path, age: str, gender: str, group: str | None, where: str) -> Row | Dropped:
    match = _NAME.fullmatch(path.name)
    years = parse_age(age)
    if match is None:
        return Dropped(
            path.name, "not a name of MORPH", f"{where}expected a name like 009055_0M54.JPG"
        )
    if years is None:
        return Dropped(path.name, "impossible age", f"{where}{age!r}")
    return Row(
        path=path,
        name=path.name,
        age=years,
        source="morph2",
        person=match["person"],
        gender=GENDERS.get(gender),
        group=group,
    )
