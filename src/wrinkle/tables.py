"""CSV files that users hand in: one strict reader for all of them.

Understood are UTF-8 with and without a byte order mark, UTF-16, commas, semicolons and tabs between
cells, the line ends of all systems, quotes, `sep=;` or comments (`#`) before the first line, blank
lines, column names in any case, and a column without a name at the start (the index that pandas
writes). Numbers have a decimal point or, all of a column, a decimal comma.

Refused, in one line with the file and the number of the line, is what could be read in two ways: a
line with more cells than columns, a column that is named twice, numbers with commas and with
points in one column.
"""

import codecs
import csv
import io
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wrinkle.errors import WrinkleError

if TYPE_CHECKING:
    import _csv

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_BOMS = (  # UTF-32 first: its little-endian mark starts with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"? *', re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?\d{1,3},\d{3}", re.ASCII)

Lines = list[tuple[int, list[str]]]
"""(number of the line in the file, stripped cells)."""


@dataclass(frozen=True)
class Table:
    """A CSV file with named columns.

    Attributes:
        file: where it was read from.
        separator: what is between cells.
        columns: their names in lower case.
        lines: (number of the line in the file, cells by column) of every line that is not blank.
            Names of columns are in lower case; cells that a short line lacks are empty.
    """

    file: Path
    separator: str
    columns: list[str]
    lines: list[tuple[int, dict[str, str]]]

    def numbers(self, column: str) -> list[float | None]:
        """The numbers in a column, None for empty cells and for what is no finite number.

        A comma is the decimal mark where no cell of the column has a point, as in 23,5. Between
        commas, 1,234 may mean a thousand: it is no number.

        Raises:
            WrinkleError: some numbers have a comma and some a point.
        """
        cells = [(number, cells.get(column, "")) for number, cells in self.lines]
        marked = [(number, cell) for number, cell in cells if _NUMBER.fullmatch(cell)]
        comma, point = (next(((n, c) for n, c in marked if mark in c), None) for mark in ",.")
        if comma and point:
            raise WrinkleError(
                f"{self.file}, line {max(comma, point)[0]}: {column} is {comma[1]} in line"
                f" {comma[0]} and {point[1]} in line {point[0]}: use the same decimal mark"
            )
        return [
            None if self.separator == "," and _THOUSANDS.fullmatch(cell) else parse_number(cell)
            for _, cell in cells
        ]


def read_table(file: Path, required: Sequence[str], instead: Sequence[str] = ()) -> Table:
    """Read a CSV file whose first line names its columns.

    Args:
        required: columns that it must have, in lower case.
        instead: columns that it may have instead of those; empty: none.

    Raises:
        WrinkleError: one line: the file cannot be read, lacks a column, names one twice, has a line
            with more cells than columns or a cell in a column without a name, or its quotes do not
            match.
    """
    text, skipped, separator = _without_preamble(read_text(file))
    choices = [separator] if separator else list(SEPARATORS)
    # The first line alone: whatever separates the cells of the others must not matter here.
    heads = {choice: _first_line(text, choice) for choice in choices}
    enough = [set(columns) for columns in (required, instead) if columns]
    fitting = [c for c in choices if any(columns <= set(heads[c]) for columns in enough)]
    if not fitting:
        head = max(heads.values(), key=len)
        missing = [column for column in required if column not in head]
        wanted = " or ".join(_enumerated(columns) for columns in (required, instead) if columns)
        lacking = f"column{'s' * (len(missing) > 1)} {_enumerated(missing)}"
        raise WrinkleError(
            f"{file} lacks the {lacking}: its first line must name at least"
            f" {wanted}, separated by commas, semicolons or tabs (found"
            f" {', '.join(head) or 'nothing'})"
        )
    separator = max(fitting, key=lambda choice: len(heads[choice]))
    (first, _), *rest = _split(file, text, separator, skipped)
    columns = heads[separator]
    _check_columns(file, first, columns)
    lines = [(number, _by_column(file, number, columns, cells)) for number, cells in rest]
    return Table(file, separator, columns, lines)


def read_lines(file: Path, separator: str) -> Lines:
    """The lines of a CSV file without names of columns; blank lines are left out.

    Raises:
        WrinkleError: as `read_table`; a line has more cells than the first.
    """
    lines = _split(file, read_text(file), separator, 0)
    for number, cells in lines:
        _check_width(file, number, cells, len(lines[0][1]), "the first line")
    return lines


def read_text(file: Path) -> str:
    """The text of a file in UTF-8 or UTF-16, without a byte order mark.

    Raises:
        WrinkleError: the file cannot be read, or is not text.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise WrinkleError(f"cannot read {file}: {error.strerror or error}") from None
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8-sig")
    if encoding == "utf-8-sig" and b"\0" in data[:2]:  # UTF-16 without a mark
        encoding = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise WrinkleError(f"{file} is damaged UTF-16 text: save it in UTF-8") from None
        line = len(re.findall(rb"\r\n|\r|\n", data[: error.start])) + 1
        raise WrinkleError(f"{file} is not UTF-8 text (line {line}): save it in UTF-8") from None
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        line = len(re.findall(r"\r\n|\r|\n", text[: text.index("\0")])) + 1
        raise WrinkleError(f"{file}, line {line}: not text: it holds a NUL character")
    return text


def parse_number(text: str) -> float | None:
    """The finite number that a text is, in digits with a decimal point or comma; else None.

    >>> parse_number("23,5"), parse_number("1_0"), parse_number("1.234,5")
    (23.5, None, None)
    """
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text.replace(",", "."))
    return value if math.isfinite(value) else None


def normal(text: str) -> str:
    """A text in Unicode's composed form (NFC): é is one character, as most systems write it."""
    return unicodedata.normalize("NFC", text)


def _without_preamble(text: str) -> tuple[str, int, str | None]:
    """The text from its line of column names on, how many lines were before it, and the separator
    that a line such as `sep=;` names."""
    separator, skipped = None, 0
    for line in io.StringIO(text, newline=""):
        named = _SEPARATOR_LINE.fullmatch(line.rstrip("\r\n"))
        if named and named[1] in SEPARATORS:
            separator = named[1]
        elif line.strip() and not line.startswith("#"):
            break
        text = text[len(line) :]
        skipped += 1
    return text, skipped, separator


def _first_line(text: str, separator: str) -> list[str]:
    """The names of the columns, as `Table` has them."""
    try:
        cells = next(_reader(text, separator), [])
    except csv.Error:
        return []
    return [normal(" ".join(cell.lower().split())) for cell in cells]


def _split(file: Path, text: str, separator: str, skipped: int) -> Lines:
    """The lines of a text that follows `skipped` lines of a file; blank ones are left out."""
    reader, number = _reader(text, separator), 1
    lines: Lines = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append((number + skipped, [cell.strip() for cell in cells]))
            number = reader.line_num + 1
    except csv.Error as error:
        raise WrinkleError(f"{file}, line {number + skipped}: not a CSV file: {error}") from None
    return lines


def _reader(text: str, separator: str) -> "_csv.Reader":
    lines = io.StringIO(text, newline="")
    return csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)


def _check_columns(file: Path, number: int, columns: Sequence[str]) -> None:
    twice = [name for place, name in enumerate(columns) if name and name in columns[:place]]
    if twice:
        raise WrinkleError(f"{file}, line {number}: the column {twice[0]} is named twice")


def _by_column(
    file: Path, number: int, columns: Sequence[str], cells: Sequence[str]
) -> dict[str, str]:
    named = f"{len(columns)} columns ({', '.join(columns)})"
    _check_width(file, number, cells, len(columns), named)
    for place, (column, cell) in enumerate(zip(columns, cells, strict=False)):
        if place and cell and not column:
            raise WrinkleError(
                f"{file}, line {number}: {cell!r} is in column {place + 1}, which has no name"
            )
    return dict(zip(columns, [*cells, *[""] * (len(columns) - len(cells))], strict=False))


def _check_width(file: Path, number: int, cells: Sequence[str], width: int, named: str) -> None:
    if any(cells[width:]):
        raise WrinkleError(
            f"{file}, line {number}: {len(cells)} cells, more than {named}: write numbers with a"
            ' decimal point, and text with separators in quotes ("…")'
        )


def _enumerated(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
