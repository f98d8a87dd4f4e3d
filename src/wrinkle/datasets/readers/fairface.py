"""FairFace: 108,501 face crops with age groups, gender and ethnic group.

    fairface_label_train.csv    file,age,gender,race,service_test
    fairface_label_val.csv
    train/1.jpg, val/1.jpg      here, or below one folder such as fairface-img-margin025-trainval

Ages are nine groups: 0-2, 3-9, 10-19, … 60-69, more than 70; the last one is read as 70 to 100. In
copies that a spreadsheet has saved, 3-9 is 03-Sep or 9-Mar and 10-19 is Oct-19 or 19-Oct. There are
no identities.

Source: Kärkkäinen, Joo, "FairFace: Face Attribute Dataset for Balanced Race, Gender, and Age for
Bias Measurement and Mitigation", WACV 2021.
"""

from collections.abc import Iterator
from pathlib import Path

from wrinkle.datasets.dataset import DATASETS, Dataset
from wrinkle.datasets.rows import Dropped, Row, separate
from wrinkle.errors import WrinkleError
from wrinkle.tables import read_table

GROUPS = {f"{first}-{first + 9}": (first, first + 9) for first in range(10, 70, 10)} | {
    "0-2": (0, 2),
    "3-9": (3, 9),
    "03-Sep": (3, 9),
    "3-Sep": (3, 9),
    "9-Mar": (3, 9),
    "09-Mar": (3, 9),
    "Oct-19": (10, 19),
    "19-Oct": (10, 19),
    "more than 70": (70, 100),
}
"""Age group as it is written → its first and last year."""
NO_PICTURE = "no such picture"
LISTS = ("fairface_label_train.csv", "fairface_label_val.csv")


@DATASETS.named("fairface")
class FairFace(Dataset):
    """The folder with the two lists."""

    description = (
        "FairFace: 108,501 face crops, nine age groups from 0–2 to 70 and older, gender, seven"
        " ethnic groups"
    )
    terms = "CC BY 4.0"
    obtain = "https://github.com/joojs/fairface (images of padding 0.25 or 1.25, and both lists)"

    def read(self, root: Path) -> tuple[list[Row], list[Dropped]]:
        """Rows of the pictures in both lists, or in the one that is there.

        A row's name is the list's, such as "train/1.jpg".

        Raises:
            WrinkleError: there is no list, or no picture of the lists.
        """
        lists = [root / name for name in LISTS if (root / name).is_file()]
        if not lists:
            raise WrinkleError(f"{root} is not FairFace: expected {' and '.join(LISTS)} in it")
        folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
        rows, dropped = separate(row for file in lists for row in _rows(file, folders))
        if not rows and all(entry.reason == NO_PICTURE for entry in dropped):
            raise WrinkleError(
                f"{root} has none of the pictures in {lists[0].name}: put the folders train and"
                " val beside it"
            )
        return rows, dropped


def _rows(file: Path, folders: list[Path]) -> Iterator[Row | Dropped]:
    for number, cells in read_table(file, ("file", "age", "gender", "race")).lines:
        name, group = cells["file"], GROUPS.get(cells["age"])
        path = next((f / name for f in folders if (f / name).is_file()), None)
        if path is None:
            yield Dropped(name, NO_PICTURE, f"{file.name}, line {number}")
        elif group is None:
            detail = f"{file.name}, line {number}: {cells['age']!r}"
            yield Dropped(name, "impossible age group", detail)
        else:
            gender = cells["gender"].lower()
            yield Row(
                path=path,
                name=name,
                age=None,
                source="fairface",
                gender=gender if gender in ("female", "male") else None,
                group=cells["race"] or None,
                age_low=group[0],
                age_high=group[1],
            )
