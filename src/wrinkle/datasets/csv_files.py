"""What several readers share: finding pictures in folders, reading CSV files."""

import csv
from collections.abc import Sequence
from pathlib import Path

from wrinkle.errors import WrinkleError


def inner(root: Path, name: str) -> Path:
    """The folder `name` in `root`, or `root` where there is none: users may give either."""
    folder = root / name
    return folder if folder.is_dir() else root


def jpegs(folder: Path, pattern: str = "*") -> list[Path]:
    """The files below `folder` that match `pattern` and end in .jpg, in either case; sorted."""
    return sorted(path for path in folder.glob(pattern) if path.suffix.lower() == ".jpg")


def read_lines(file: Path, delimiter: str = ",") -> list[tuple[int, list[str]]]:
    """(line number, stripped cells) of every line of a CSV file that is not empty.

    Raises:
        WrinkleError: the file cannot be read, is not UTF-8 text or its quotes do not match.
    """
    try:
        # Spreadsheets start their UTF-8 files with a byte order mark; utf-8-sig removes it.
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            return [
                (reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells
            ]
    except UnicodeDecodeError:
        raise WrinkleError(f"{file} is not UTF-8 text: save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise WrinkleError(f"{file} is not a CSV file: {error}") from None
    except OSError as error:
        raise WrinkleError(f"cannot read {file}: {error.strerror or error}") from None


def read_table(file: Path, required: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """(line number, cells by column) of every line after the first, which names the columns.

    Cells that a short line lacks are empty.

    Raises:
        WrinkleError: as `read_lines`, or a required column is missing.
    """
    lines = read_lines(file)
    columns = lines[0][1] if lines else []
    missing = [column for column in required if column not in columns]
    if missing:
        found = ", ".join(columns) or "nothing"
        raise WrinkleError(
            f"{file} lacks the column {_enumerated(missing)}: its first line must name at least"
            f" {_enumerated(required)}, separated by commas (found {found})"
        )
    return [
        (number, dict(zip(columns, cells + [""] * (len(columns) - len(cells)), strict=False)))
        for number, cells in lines[1:]
    ]


def _enumerated(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
