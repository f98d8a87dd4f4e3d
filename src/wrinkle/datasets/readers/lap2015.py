"""ChaLearn Looking at People: photographs with apparent ages, in the layouts of three releases.

    2015       4,691  Train/image_1.jpg …            Train.csv: image_1.jpg;23;4.2, no heading
    2016       7,591  train_1/000000.jpg, train_2/…  train_gt.csv: image,mean,stdv
    APPA-REAL  7,591  train/000000.jpg …             gt_avg_train.csv: file_name,num_ratings,
                                                     apparent_age_avg,apparent_age_std,real_age

Folders and files of the other parts are called valid or validation, and test. Many people guessed
the age in each picture; a row has the mean and the standard deviation of their guesses, not the
real age, which APPA-REAL also gives. There are no identities. The pictures of 2016 and of APPA-REAL
are the same.

The full photographs are read, not APPA-REAL's face crops (000000.jpg_face.jpg). Some training code
leaves out 118 training pictures of APPA-REAL because their crops are bad. That list is not applied:
it is not the owners', and the faces are cropped again here.

Source: Escalera et al., "ChaLearn Looking at People 2015: Apparent Age and Cultural Event
Recognition datasets and results", ICCV workshops 2015; the same, 2016, CVPR workshops 2016;
Agustsson et al., "Apparent and real age estimation in still images with deep residual regressors on
APPA-REAL database", FG 2017.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from wrinkle.datasets.dataset import DATASETS, Dataset
from wrinkle.datasets.rows import Dropped, Row, parse_age, parse_deviation, separate
from wrinkle.errors import WrinkleError
from wrinkle.tables import read_lines

_PARTS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}
"""Part, as in rows' names → what folders and files call it, in lower case."""
_TABLES = ("gt_avg_{}.csv", "{}_gt.csv", "{}.csv")
_COLUMNS = (("file_name", "apparent_age_avg", "apparent_age_std"), ("image", "mean", "stdv"))


@DATASETS.named("lap2015")
class LAP2015(Dataset):
    """Folders with a CSV file beside each."""

    description = (
        "ChaLearn LAP 2015, 4,691 photographs with apparent ages and their deviations; also LAP"
        " 2016 and APPA-REAL, 7,591"
    )
    terms = "research only, on the terms of ChaLearn's pages"
    obtain = (
        "https://chalearnlap.cvc.uab.cat/dataset/18/description/ (2015), …/19/… (2016), …/26/…"
        " (APPA-REAL); a folder with train, valid and test and their CSV files"
    )

    def read(self, root: Path) -> tuple[list[Row], list[Dropped]]:
        """Rows of the parts in `root`, each one folder or several, with a CSV file beside it.

        A row's name is the part and the file name, as in train/000001.jpg; the parts are train,
        validation and test, whatever the folders are called. Lines with an unknown picture, an
        impossible age or deviation are dropped. A part without labels is one dropped entry.

        Raises:
            WrinkleError: no part has a CSV file, one has two, or a file's columns are not known.
        """
        entries = {path.name.lower(): path for path in sorted(root.glob("*"))}
        found: list[Row | Dropped] = []
        tables = {part: _table(entries, words, root) for part, words in _PARTS.items()}
        if not any(tables.values()):
            raise WrinkleError(
                f"{root} is not ChaLearn LAP: expected folders train, valid or validation, and"
                " test, and for each a CSV file called like Train.csv, train_gt.csv or"
                " gt_avg_train.csv"
            )
        for part, words in _PARTS.items():
            named = [entries.get(word + number) for word in words for number in ("", "_1", "_2")]
            folders = [folder for folder in named if folder and folder.is_dir()]
            table = tables[part]
            if table:
                found += _rows(part, table, folders)
            elif folders:
                found.append(Dropped(part, "part without labels", f"no CSV file for {folders[0]}"))
        return separate(found)


def _table(entries: dict[str, Path], words: Sequence[str], root: Path) -> Path | None:
    """The CSV file of a part, if there is one."""
    names = [pattern.format(word) for pattern in _TABLES for word in words]
    tables = [entries[name] for name in names if name in entries]
    if len(tables) > 1:
        raise WrinkleError(
            f"{root} has files of two releases: keep only one of {tables[0].name} and"
            f" {tables[1].name}"
        )
    return tables[0] if tables else None


def _rows(part: str, table: Path, folders: Sequence[Path]) -> Iterator[Row | Dropped]:
    for number, file, age_text, deviation_text in _labels(table):
        name, where = f"{part}/{file}", f"{table.name}, line {number}"
        path = next((f / file for f in folders if os.path.isfile(f / file)), None)
        age, deviation = parse_age(age_text), parse_deviation(deviation_text)
        if path is None:
            yield Dropped(name, "no such picture", where)
        elif age is None:
            yield Dropped(name, "impossible age", f"{where}: {age_text!r}")
        elif deviation is None:
            yield Dropped(name, "impossible age deviation", f"{where}: {deviation_text!r}")
        else:
            yield Row(path=path, name=name, age=age, source="lap2015", age_deviation=deviation)


def _labels(table: Path) -> Iterator[tuple[int, str, str, str]]:
    """Line number, file name, mean and deviation, as text."""
    lines = read_lines(table, ";")  # as in 2015; commas later
    if lines and len(lines[0][1]) == 1:
        lines = read_lines(table, ",")
    first = lines[0][1] if lines else []
    places = next(([first.index(n) for n in c] for c in _COLUMNS if set(c) <= set(first)), None)
    if places:
        del lines[0]
    elif len(first) >= 3 and parse_age(first[1]) is not None:
        places = [0, 1, 2]
    else:
        raise WrinkleError(
            f"{table}: expected the columns {', '.join(_COLUMNS[0])}, or {', '.join(_COLUMNS[1])},"
            f" or lines of picture;mean;deviation (found {', '.join(first) or 'nothing'})"
        )
    for number, cells in lines:
        file, age, deviation = ((cells[p] if p < len(cells) else "") for p in places)
        yield number, file, age, deviation
