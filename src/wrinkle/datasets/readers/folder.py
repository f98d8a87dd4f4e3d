"""Your own pictures: a folder with a CSV file that says how old the person in each picture is.

    path,age,age_deviation,age_low,age_high,person,gender,group
    anna/2019.jpg,34,,,,anna,female,
    guests/7.png,51.5,3.2,,,,,
    guests/8.png,,,30,39,,,

path           the picture, relative to the CSV file's own folder (or an absolute path)
age            years, 0–120, fractions allowed; may be empty or missing where there is a range
age_deviation  optional: the label's standard deviation in years, where several people guessed
age_low,       optional: the first and the last year of the range in which the age is, whole years,
age_high       both inclusive
person         optional: any name; by-person protocols keep a person's pictures together
gender         optional: female or male, also f or m; 0 and 1 mean different things in different
               datasets and are not read
group          optional: any word; evaluation reports the error for each

The first line names the columns, in any order and any case; others are ignored. See
`wrinkle.tables` for separators, encodings and decimal marks. An empty cell of an optional column
means unknown, as do NA, NaN, NULL and None.
"""

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from wrinkle.datasets.dataset import DATASETS, Dataset
from wrinkle.datasets.rows import (
    MAX_AGE,
    Dropped,
    Row,
    possible_age,
    possible_deviation,
    possible_range,
    separate,
)
from wrinkle.errors import WrinkleError
from wrinkle.tables import Table, normal, read_table

_RANGE = ("age_low", "age_high")
_OPTIONAL = ("age_deviation", "person", "gender", "group")
_UNKNOWN = {"", "NA", "N/A", "<NA>", "NaN", "nan", "NULL", "null", "None"}
_GENDERS = {"female": "female", "f": "female", "male": "male", "m": "male"}


@DATASETS.named("folder")
class Folder(Dataset):
    """A folder with one CSV file."""

    description = "your own pictures with a CSV file of path, age or range, and optional columns"
    terms = "not known: ask the photographers and the people in the pictures"
    obtain = (
        "a folder with one CSV file in it; columns path and age, or age_low and age_high, or all"
        " three[, age_deviation, person, gender, group]"
    )

    def read(self, root: Path) -> tuple[list[Row], list[Dropped]]:
        """Rows of the CSV file `root`, or of the one CSV file in the folder `root`.

        Lines with an unknown picture, an impossible age or range, or neither, are dropped, each
        with its line number.
        An impossible deviation or gender is unknown and is among the row's `unread`. A picture that
        is listed twice is kept once if its labels agree, else not at all.

        Raises:
            WrinkleError: there is not exactly one CSV file, or it cannot be read
                (`wrinkle.tables.read_table`).
        """
        return separate(_rows(_read(_find_csv(root))))


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


def _read(file: Path) -> Table:
    table = read_table(file, ("path", "age"), ("path", *_RANGE))
    missing = [name for name in _RANGE if name not in table.columns]
    if len(missing) == 1:
        raise WrinkleError(f"{file} lacks the column {missing[0]}: a range needs both its ends")
    return table


class _Label(NamedTuple):
    """Age in years and range of whole years, at least one of them, or why there is neither."""

    age: float | None = None
    span: tuple[int, int] | None = None
    reason: str = ""
    detail: str = ""


def _labels(table: Table) -> Iterator[_Label]:
    """The label of each line."""
    numbers = [table.numbers(column) for column in ("age", *_RANGE)]
    for (_, cells), age, low, high in zip(table.lines, *numbers, strict=True):
        written = {column: normal(cells.get(column, "")) for column in ("age", *_RANGE)}
        given = {column for column, cell in written.items() if cell not in _UNKNOWN}
        years, span = possible_age(age), possible_range(low, high)
        if span is None and given & set(_RANGE):
            ends = f"{written['age_low']!r} to {written['age_high']!r}"
            detail = f"{ends} is no range of whole years in 0..{MAX_AGE}"
            yield _Label(reason="impossible range", detail=detail)
        elif years is None and ("age" in given or span is None):
            detail = f"{written['age']!r} is not a number in 0..{MAX_AGE}"
            yield _Label(reason="impossible age", detail=detail)
        elif years is not None and span is not None and not span[0] <= years < span[1] + 1:
            detail = f"age {years:g} is not in the range {span[0]} to {span[1]}"
            yield _Label(reason="impossible range", detail=detail)
        else:
            yield _Label(years, span)


def _rows(table: Table) -> Iterator[Row | Dropped]:
    """The row of each line, or why there is none."""
    base = table.file.parent
    find, genders = _finder(base), _genders(table)
    deviations = table.numbers("age_deviation")
    for (number, cells), label, deviation in zip(
        table.lines, _labels(table), deviations, strict=True
    ):
        where, text = f"line {number}", cells["path"]
        path = find(text) if text else None
        if path is None:
            yield Dropped(text, "no such picture", where)
            continue
        name = _name(path, base)
        if label.reason:
            yield Dropped(name, label.reason, f"{where}: {label.detail}")
            continue
        optional = {column: normal(cells.get(column, "")) for column in _OPTIONAL}
        known = {key: None if cell in _UNKNOWN else cell for key, cell in optional.items()}
        spread, gender = possible_deviation(deviation), genders.get((known["gender"] or "").lower())
        unread = []
        if known["age_deviation"] and spread is None:
            detail = f"{where}: {known['age_deviation']!r}"
            unread.append(Dropped(name, "impossible age deviation", detail))
        if known["gender"] and gender is None:
            detail = f"{where}: {known['gender']!r}; write female, male or nothing"
            unread.append(Dropped(name, "unknown gender", detail))
        low, high = label.span or (None, None)
        yield Row(
            path=path,
            name=name,
            age=label.age,
            source="folder",
            age_deviation=spread,
            person=known["person"],
            gender=gender,
            group=known["group"],
            age_low=low,
            age_high=high,
            unread=tuple(unread),
        )


def _name(path: Path, base: Path) -> str:
    """The picture's name in the store: its path below `base`, or from there, or absolute."""
    if path.is_relative_to(base):
        path = path.relative_to(base)
    elif not path.is_absolute():
        path = Path(os.path.relpath(path, base))
    return normal(path.as_posix())


def _genders(table: Table) -> dict[str, str]:
    """Word → gender. M beside H is mujer beside hombre, so it is not read there."""
    words = {cells.get("gender", "").lower() for _, cells in table.lines}
    return {word: gender for word, gender in _GENDERS.items() if word != "m" or "h" not in words}


def _finder(base: Path) -> Callable[[str], Path | None]:
    """A function from the text of a path to the picture, None where there is none.

    A name is found in whichever of Unicode's forms (composed or decomposed) it is on the disk, and
    with `\\` between folders as on Windows.
    """

    @cache
    def entries(folder: Path) -> dict[str, str]:
        try:
            return {normal(entry): entry for entry in os.listdir(folder)}
        except OSError:
            return {}

    def in_any_form(path: Path) -> Path:
        found = Path(path.anchor)
        for part in path.relative_to(path.anchor).parts if path.anchor else path.parts:
            if part == ".." or os.path.lexists(found / part):
                found /= part
            else:
                found /= entries(found).get(normal(part), part)
        return found

    def find(text: str) -> Path | None:
        for spelling in (text, text.replace("\\", "/")):
            for path in (base / spelling, in_any_form(base / spelling)):
                if os.path.isfile(path):
                    plain = Path(os.path.normpath(path))  # not the same behind a link to a folder
                    same = os.path.isfile(plain) and os.path.samefile(plain, path)
                    return plain if same else path
        return None

    return find
