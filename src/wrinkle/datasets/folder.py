"""Your own pictures: a folder with a CSV file that says how old the person in each picture is.

    path,age,age_deviation,person,gender,group
    anna/2019.jpg,34,,anna,female,
    guests/7.png,51.5,3.2,,,

path           the picture, below the CSV file's own folder (or an absolute path)
age            years, 0–120, fractions allowed
age_deviation  optional: the label's standard deviation in years, where several people guessed
person         optional: any name; by-person protocols keep a person's pictures together
gender         optional: female or male
group          optional: any word; evaluation reports the error for each

The first line names the columns, in any order; others are ignored. UTF-8, commas. An empty cell of
an optional column means unknown.
"""

import csv
import math
import os
from collections import defaultdict
from pathlib import Path

from wrinkle.datasets.rows import MAX_AGE, Dropped, Row, parse_age
from wrinkle.errors import WrinkleError

_REQUIRED = ("path", "age")
_GENDERS = ("female", "male")


def read(root: Path) -> tuple[list[Row], list[Dropped]]:
    """Rows of the CSV file `root`, or of the one CSV file in the folder `root`.

    Lines with an unknown picture, an impossible age, deviation or gender are dropped, each with its
    line number. A picture listed again with the same age is dropped once, with another age wholly.
    WrinkleError when there is not exactly one CSV file, it lacks a column, or it is not UTF-8 text.
    """
    file = _find_csv(root)
    rows: dict[str, list[Row]] = defaultdict(list)
    dropped = []
    for number, cells in _lines(file):
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


def _lines(file: Path) -> list[tuple[int, dict[str, str]]]:
    """(line number, cells by column) of every line after the first; missing cells are empty."""
    try:
        # Spreadsheets start their UTF-8 files with a byte order mark; utf-8-sig takes it away.
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, restval="", strict=True)
            columns = [(column or "").strip() for column in reader.fieldnames or ()]
            _check_columns(columns, file)
            reader.fieldnames = columns
            return [
                (reader.line_num, {column: (cells[column] or "").strip() for column in columns})
                for cells in reader
            ]
    except UnicodeDecodeError:
        raise WrinkleError(f"{file} is not UTF-8 text: save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise WrinkleError(f"{file} is not a CSV file: {error}") from None
    except OSError as error:
        raise WrinkleError(f"cannot read {file}: {error.strerror or error}") from None


def _check_columns(columns: list[str], file: Path) -> None:
    missing = [column for column in _REQUIRED if column not in columns]
    if missing:
        found = ", ".join(columns) or "nothing"
        raise WrinkleError(
            f"{file} lacks the column {' and '.join(missing)}: its first line must name at least"
            f" path and age, separated by commas (found {found})"
        )


def _parse(cells: dict[str, str], number: int, base: Path) -> Row | Dropped:
    """The row of one line, or why there is none."""
    text = cells["path"]
    path = base / text
    name = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()
    age = parse_age(cells["age"])
    deviation = cells.get("age_deviation", "")
    gender = cells.get("gender", "").lower()
    where = f"line {number}"
    if not text or not os.path.isfile(path):
        return Dropped(name, "no such picture", where)
    if age is None:
        return Dropped(
            name, "impossible age", f"{where}: {cells['age']!r} is not a number in 0..{MAX_AGE}"
        )
    if deviation and not _is_deviation(deviation):
        return Dropped(name, "impossible age deviation", f"{where}: {deviation!r}")
    if gender and gender not in _GENDERS:
        return Dropped(
            name, "unknown gender", f"{where}: {gender!r}; write female, male or nothing"
        )
    return Row(
        path=path,
        name=name,
        age=age,
        source="folder",
        age_deviation=float(deviation) if deviation else None,
        person=cells.get("person") or None,
        gender=gender or None,
        group=cells.get("group") or None,
    )


def _is_deviation(text: str) -> bool:
    try:
        return float(text) >= 0 and math.isfinite(float(text))
    except ValueError:
        return False
