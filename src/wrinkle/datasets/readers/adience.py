"""Adience: photographs from Flickr with age groups and gender, in five folds.

    fold_0_data.txt … fold_4_data.txt    user_id, original_image, face_id, age, gender, … with tabs
    faces/USER/coarse_tilt_aligned_face.FACE.PICTURE      the faces, roughly upright
    aligned/USER/landmark_aligned_face.FACE.PICTURE       or aligned; faces/ is read if it is there

Ages are groups such as (25, 32), some single years, and None. A row's name begins with its fold, as
in fold_0/USER/FACE.PICTURE. Its person is the album's owner (user_id), whose album may show several
people: the owners' folds keep albums apart.

Source: Eidinger, Enbar, Hassner, "Age and Gender Estimation of Unfiltered Faces", IEEE Transactions
on Information Forensics and Security 9(12), 2014.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from wrinkle.datasets.dataset import DATASETS, Dataset
from wrinkle.datasets.rows import Dropped, Row, parse_age, possible_range, separate
from wrinkle.errors import WrinkleError
from wrinkle.tables import read_table

FOLDS = 5
_COLUMNS = ("user_id", "original_image", "face_id", "age", "gender")
_FOLDERS = (("faces", "coarse_tilt_aligned_face"), ("aligned", "landmark_aligned_face"))
_RANGE = re.compile(r"\((\d+), *(\d+)\)")
_GENDERS = {"f": "female", "m": "male"}


@DATASETS.named("adience")
class Adience(Dataset):
    """The folder with the fold files and faces/ or aligned/."""

    description = (
        "Adience: 26,580 faces from 2,284 Flickr albums, eight age groups, gender, five folds"
    )
    terms = "research only, on the terms of its page; the photographs are under Creative Commons"
    obtain = (
        "https://talhassner.github.io/home/projects/Adience/Adience-data.html (fold_0_data.txt …"
        " fold_4_data.txt, and faces.tar.gz or aligned.tar.gz)"
    )

    def read(self, root: Path) -> tuple[list[Row], list[Dropped]]:
        """Rows of the fold files that are there.

        Raises:
            WrinkleError: there is no fold file, one lacks a column, or neither faces/ nor aligned/
                is there.
        """
        files = [root / f"fold_{number}_data.txt" for number in range(FOLDS)]
        found = [file for file in files if file.is_file()]
        if not found:
            raise WrinkleError(
                f"{root} is not Adience: expected fold_0_data.txt to fold_4_data.txt"
            )
        folder = next(((root / f, start) for f, start in _FOLDERS if (root / f).is_dir()), None)
        if folder is None:
            raise WrinkleError(
                f"{root} has no pictures: unpack faces.tar.gz or aligned.tar.gz there"
            )
        return separate(row for file in found for row in _rows(file, *folder))


def _rows(file: Path, folder: Path, start: str) -> Iterator[Row | Dropped]:
    fold = file.name.removesuffix("_data.txt")
    for number, cells in read_table(file, _COLUMNS).lines:
        user, face, picture = cells["user_id"], cells["face_id"], cells["original_image"]
        name, where = f"{fold}/{user}/{face}.{picture}", f"{file.name}, line {number}"
        path = folder / user / f"{start}.{face}.{picture}"
        match = _RANGE.fullmatch(cells["age"])
        span = possible_range(*map(float, match.groups())) if match else None
        age = parse_age(cells["age"])
        if not path.is_file():
            yield Dropped(name, "no such picture", where)
        elif cells["age"] in ("None", ""):
            yield Dropped(name, "no age", where)
        elif age is None and span is None:
            yield Dropped(name, "impossible age", f"{where}: {cells['age']!r}")
        else:
            low, high = span or (None, None)
            yield Row(
                path=path,
                name=name,
                age=age,
                source="adience",
                person=user,
                gender=_GENDERS.get(cells["gender"]),
                age_low=low,
                age_high=high,
            )
