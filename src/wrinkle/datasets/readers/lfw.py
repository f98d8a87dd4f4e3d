"""LFW: 13,233 news photographs of 5,749 people, with a table of birth dates or ages.

    Aaron_Eckhart/Aaron_Eckhart_0001.jpg …    here, or below one folder such as lfw or images
    people.csv    person,born[,gender], or person,age[,age_deviation][,gender]; any name

LFW itself has no ages. The table is yours: `person` is the name of the folder, `born` a year or a
date (1968, 1968-03 or 1968-03-12). The pictures were taken in 2002 to 2004, so the age is that at
the beginning of 2003, with a standard deviation of 0.6 years. An `age` is taken as it is.

Source: Huang, Ramesh, Berg, Learned-Miller, "Labeled Faces in the Wild", University of
Massachusetts, Technical Report 07-49, 2007.
"""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from wrinkle.datasets.dataset import DATASETS, Dataset
from wrinkle.datasets.rows import Dropped, Row, possible_age, possible_deviation, separate
from wrinkle.errors import WrinkleError
from wrinkle.tables import Table, normal, read_table

TAKEN = 2003.0
"""Time at which the pictures are taken to have been made, in years."""
DEVIATION = 0.6
"""Standard deviation of the ages in years, from the dates of pictures and birth years."""
NO_PICTURE = "no picture of the person"
_BORN = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")
_GENDERS = {"female": "female", "f": "female", "male": "male", "m": "male"}


@DATASETS.named("lfw")
class LFW(Dataset):
    """The folder with a folder for each person, and one table."""

    description = "LFW: 13,233 news photographs of 5,749 people, with your table of birth dates"
    terms = "none stated; the photographs belong to their agencies and photographers"
    obtain = (
        "http://vis-www.cs.umass.edu/lfw/ (lfw.tgz), and a CSV file beside it with the columns"
        " person and born, or person and age"
    )

    def read(self, root: Path) -> tuple[list[Row], list[Dropped]]:
        """Rows of all pictures of the people in the table.

        Raises:
            WrinkleError: there is not exactly one table with these columns, or no picture of
                anybody in it.
        """
        table = _table(root)
        folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
        rows, dropped = separate(_rows(table, folders))
        if not rows and all(entry.reason == NO_PICTURE for entry in dropped):
            raise WrinkleError(
                f"{root} has no picture of anybody in {table.file.name}: expected folders such as"
                " Aaron_Eckhart with Aaron_Eckhart_0001.jpg"
            )
        return rows, dropped


def _table(root: Path) -> Table:
    """The one table of people; other CSV files, such as LFW's lists of pairs, are ignored."""
    found, reason = [], "found no CSV file"
    for file in sorted(root.glob("*.csv")):
        try:
            found.append(read_table(file, ("person", "born"), ("person", "age")))
        except WrinkleError as error:
            reason = str(error)
    if len(found) != 1:
        if found:
            reason = f"found {' and '.join(table.file.name for table in found)}"
        raise WrinkleError(
            f"{root} must hold one CSV file with the columns person and born, or person and age"
            f" ({reason})"
        )
    return found[0]


def _rows(table: Table, folders: list[Path]) -> Iterator[Row | Dropped]:
    ages, deviations = table.numbers("age"), table.numbers("age_deviation")
    for (number, cells), given, spread in zip(table.lines, ages, deviations, strict=True):
        person, where = normal(cells["person"]), f"{table.file.name}, line {number}"
        own = [folder / person for folder in folders if person and (folder / person).is_dir()]
        pictures = sorted(own[0].glob("*.[jJ][pP][gG]")) if own else []
        age = _age(cells.get("born", "")) if given is None else possible_age(given)
        if not pictures:
            yield Dropped(person, NO_PICTURE, where)
        elif age is None:
            text = cells.get("age") or cells.get("born", "")
            yield Dropped(person, "impossible birth date or age", f"{where}: {text!r}")
        else:
            deviation = possible_deviation(spread)
            for path in pictures:
                yield Row(
                    path=path,
                    name=f"{person}/{path.name}",
                    age=age,
                    source="lfw",
                    age_deviation=DEVIATION if deviation is None else deviation,
                    person=person,
                    gender=_GENDERS.get(cells.get("gender", "").lower()),
                )


def _age(born: str) -> float | None:
    """The age at `TAKEN`, to 0.01 years; of a year or month alone, its middle counts."""
    match = _BORN.fullmatch(born)
    if match is None:
        return None
    year, month, day = (int(part) if part else None for part in match.groups())
    assert year is not None
    try:
        date(year, month or 1, day or 1)
    except ValueError:
        return None
    passed = 0.5 if month is None else (month - 1 + ((day - 0.5) / 31 if day else 0.5)) / 12
    return possible_age(round(TAKEN - year - passed, 2))
