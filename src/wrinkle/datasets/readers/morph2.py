"""MORPH Album 2: 55,134 police photographs of 13,617 people, ages 16 to 77, in the owners' folder
for non-commercial use.

    morph_2008_nonCommercial.csv   id_num,picture_num,dob,doa,race,gender,facial_hair,age,age_diff,
                                   glasses,photo
    Album2/009055_0M54.JPG         subject 009055, picture 0, male, 54 years old

Without the CSV file, age and gender are taken from the names and the race is unknown. Where both
speak, the file does: of three pictures the name gives the other gender. Nobody has made the labels
agree: 34 people have pictures under two genders or two races.

Source: Ricanek, Tesafaye, "MORPH: A Longitudinal Image Database of Normal Adult Age-Progression",
FG 2006.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from wrinkle.datasets.csv_files import inner, jpegs, read_table
from wrinkle.datasets.rows import Dropped, Row, parse_age, sort_out
from wrinkle.errors import WrinkleError

GENDERS = {"M": "male", "F": "female"}
GROUPS = {"W": "White", "B": "Black", "A": "Asian", "H": "Hispanic", "O": "Other"}
_NAME = re.compile(
    r"(?P<person>\d{6})_\d+(?P<gender>[MF])(?P<age>\d+)\.JPG", re.IGNORECASE | re.ASCII
)
_COLUMNS = ("race", "gender", "age", "photo")


def read(root: Path) -> tuple[list[Row], list[Dropped]]:
    """Rows of the photographs that the CSV file in `root` lists, or of all in `root`/Album2.

    A row's name is the bare file name and its person the first six digits, as published split lists
    have them. Lines with an unknown picture, a foreign name or an impossible age are dropped.
    WrinkleError when there are several CSV files, the one lacks a column, or there is neither a CSV
    file nor a photograph.
    """
    tables = sorted(root.glob("*.csv"))
    if len(tables) > 1:
        names = ", ".join(table.name for table in tables[:3])
        raise WrinkleError(
            f"{root} holds several CSV files ({names}): leave only morph_2008_nonCommercial.csv"
        )
    rows, dropped = sort_out(_listed(tables[0]) if tables else _named(inner(root, "Album2")))
    if not rows and not tables:
        raise WrinkleError(
            f"{root} is not MORPH Album 2: expected morph_2008_nonCommercial.csv and the folder"
            " Album2 with photographs named like 009055_0M54.JPG"
        )
    return rows, dropped


def _listed(table: Path) -> Iterator[Row | Dropped]:
    for number, cells in read_table(table, _COLUMNS):
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
        return Dropped(path.name, "not a name of MORPH", f"{where}expected 009055_0M54.JPG, say")
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
