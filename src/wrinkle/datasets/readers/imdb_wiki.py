"""IMDB-WIKI: 523,051 faces of celebrities, 460,723 from IMDb and 62,328 from Wikipedia.

    imdb_crop/imdb.mat   a struct `imdb`, an entry for each picture in dob (MATLAB's serial day),
                         photo_taken (year), full_path, gender (0 female, 1 male, NaN unknown),
                         name, face_location, face_score, second_face_score, and more
    imdb_crop/00/….jpg   faces, cropped with a margin; and the same with "wiki" for "imdb"

Labels are noisy: dates of birth and of pictures come from the web, and a still of a film has the
year of the film. As in the papers that pretrain on it, pictures are left out where the owners'
detector found no face (face_score is −∞) or a second one (second_face_score is a number), and where
the age is impossible. The age is in whole years on 1 July of the year, as the owners compute it: a
picture is taken in the middle of its year.

Source: Rothe, Timofte, Van Gool, "Deep Expectation of Real and Apparent Age from a Single Image
Without Facial Landmarks", IJCV 2018.
"""

import math
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from wrinkle.datasets.dataset import DATASETS, Dataset
from wrinkle.datasets.folders import inner
from wrinkle.datasets.matlab import read_struct
from wrinkle.datasets.rows import MAX_AGE, Dropped, Row, separate
from wrinkle.errors import WrinkleError, install_command

_NUMBERS = ("dob", "photo_taken", "gender", "face_score", "second_face_score")
_TEXTS = ("full_path", "name")
_GENDERS = {0.0: "female", 1.0: "male"}
_MATLAB_DAY = 366
"""MATLAB counts days from a year 0, which Python's calendar does not have."""


@DATASETS.named("imdb_wiki")
class ImdbWiki(Dataset):
    """The folders imdb_crop and wiki_crop."""

    description = (
        "IMDB-WIKI: 523,051 faces of celebrities with dates of birth; noisy, to pretrain on"
    )
    terms = "academic research only; copyright stays with the owners of the pictures"
    obtain = (
        "https://data.vision.ee.ethz.ch/cvl/rrothe/imdb-wiki/ (imdb_crop.tar, wiki_crop.tar, one"
        f" or both); needs {install_command('matlab')}"
    )

    def read(self, root: Path) -> tuple[list[Row], list[Dropped]]:
        """Rows of the pictures from IMDb, from Wikipedia, or both.

        imdb.mat is in `root` or in its folder imdb_crop; the pictures are in that folder or, where
        there is none, in `root`; the same for wiki.mat. A row's name is as in imdb/01/….jpg, its
        person the celebrity's name, the same in both.

        Raises:
            WrinkleError: there is neither file, or one is damaged.
        """
        found: list[Row | Dropped] = []
        files = 0
        for web in ("imdb", "wiki"):
            folder = inner(root, f"{web}_crop")
            for file in (folder / f"{web}.mat", root / f"{web}.mat"):
                if file.is_file():
                    files += 1
                    found += _rows(web, file, folder)
                    break
        if not files:
            raise WrinkleError(
                f"{root} is not IMDB-WIKI: expected imdb.mat in its folder imdb_crop, wiki.mat in"
                " its folder wiki_crop, or both, as imdb_crop.tar and wiki_crop.tar unpack"
            )
        return separate(found)


def _rows(web: str, file: Path, folder: Path) -> Iterator[Row | Dropped]:
    columns = read_struct(file, web, _NUMBERS, _TEXTS)
    for born, year, gender, score, second, path, person in zip(*columns.values(), strict=True):
        name = f"{web}/{path}"
        age = _age(born, year)
        if not math.isfinite(score):
            yield Dropped(name, "no face", "by the owners' detector")
        elif not math.isnan(second):
            yield Dropped(name, "several faces", f"the second with score {second:.1f}")
        elif age is None or not 0 <= age <= MAX_AGE:
            yield Dropped(name, "impossible age", f"born on day {born:g}, in {year:g}")
        elif not os.path.isfile(folder / path):
            yield Dropped(name, "no such picture", f"listed in {file.name}")
        else:
            yield Row(
                path=folder / path,
                name=name,
                age=float(age),
                source="imdb_wiki",
                person=person or None,
                gender=_GENDERS.get(gender),
            )


def _age(born: float, year: float) -> int | None:
    """Whole years on 1 July of `year`; None where `born` is not a valid day."""
    try:
        birth = date.fromordinal(int(born) - _MATLAB_DAY)
        return int(year) - birth.year - ((birth.month, birth.day) > (7, 1))
    except (ValueError, OverflowError):
        return None
