"""Your own pictures: a folder with a CSV file that says how old the person in each picture is.

    path,age,age_deviation,person,gender,group
    anna/2019.jpg,34,,anna,female,
    guests/7.png,51.5,3.2,,,

path           the picture, relative to the CSV file's own folder (or an absolute path)
age            years, 0–120, fractions allowed
age_deviation  optional: the label's standard deviation in years, where several people guessed
person         optional: any name; by-person protocols keep a person's pictures together
gender         optional: female or male
group          optional: any word; evaluation reports the error for each

The first line names the columns, in any order; others are ignored. UTF-8, commas. An empty cell of
an optional column means unknown.
"""

import os
from collections import defaultdict
from pathlib import Path

from wrinkle.datasets.csv_files import read_table
from wrinkle.datasets.dataset import DATASETS, Dataset
from wrinkle.datasets.rows import MAX_AGE, Dropped, Row, parse_age, parse_deviation
from wrinkle.errors import WrinkleError

_REQUIRED = ("path", "age")
_GENDERS = ("female", "male")


@DATASETS.named("folder")
class Folder(Dataset):
    """A folder with one CSV file."""

    description = "your own pictures with a CSV file of path, age and optional columns"
    terms = "for you to find out: ask whoever took the pictures and whoever is in them"
    obtain = (
        "a folder with one CSV file in it; columns path, age[, age_deviation, person, gender,"
        " group]"
    )

    def read(self, root: Path) -> tuple[list[Row], list[Dropped]]:
        """Rows of the CSV file `root`, or of the one CSV file in the folder `root`.

        Lines with an unknown picture, an impossible age, deviation or gender are dropped, each with
        its line number. A picture that is listed twice is kept once if its ages agree, else not at
        all.

        Raises:
            WrinkleError: there is not exactly one CSV file, it lacks a column, or it is not UTF-8
                text.
        """
        file = _find_csv(root)
        rows: dict[str, list[Row]] = defaultdict(list)
        dropped = []
        for number, cells in read_table(file, _REQUIRED):
            row = _parse(cells, number, file.parent)
            if isinstance(row, Row):
                rows[row.name].append(row)
            else:
                dropped.append(row)
        kept = []
        for name, same in rows.items():
            ages = {row.age for row in same}
            if len(ages) > 1:
                detail = "listed with ages " + ", ".join(f"{age:g}" for age in sorted(ages))
                dropped += [Dropped(name, "conflicting duplicate labels", detail)] * len(same)
            else:
                kept.append(same[0])
                dropped += [Dropped(name, "duplicate", "listed more than once")] * (len(same) - 1)
        return kept, dropped


def _find_csv(root: Path) -> Path:
    if root.is_file():
        return root
    found = sorted(path for path in root.glob("*.csv") if path.is_file())
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:3]) or "none"
        raise WrinkleError(
            f"{root} must hold one CSV file with the columns path and age (found {names}):"
            " name the CSV file itself"
        )
    return found[0]


def _parse(cells: dict[str, str], number: int, base: Path) -> Row | Dropped:
    """The row of one line, or why there is none."""
    text = cells["path"]
    path = base / text
    name = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()
    age = parse_age(cells["age"])
    deviation_text = cells.get("age_deviation", "")
    deviation = parse_deviation(deviation_text)
    gender = cells.get("gender", "").lower()
    where = f"line {number}"
    if not text or not os.path.isfile(path):
        return Dropped(name, "no such picture", where)
    if age is None:
        return Dropped(
            name, "impossible age", f"{where}: {cells['age']!r} is not a number in 0..{MAX_AGE}"
        )
    if deviation_text and deviation is None:
        return Dropped(name, "impossible age deviation", f"{where}: {deviation_text!r}")
    if gender and gender not in _GENDERS:
        return Dropped(
            name, "unknown gender", f"{where}: {gender!r}; write female, male or nothing"
        )
    return Row(
        path=path,
        name=name,
        age=age,
        source="folder",
        age_deviation=deviation,
        person=cells.get("person") or None,
        gender=gender or None,
        group=cells.get("group") or None,
    )
