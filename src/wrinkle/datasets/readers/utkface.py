"""UTKFace: 23,707 faces, aligned and cropped to 200×200 pixels, ages 1 to 116.

    age_gender_race_timestamp.jpg.chip.jpg   gender 0 male, 1 female; race 0–4, see GROUPS

Five names are malformed: three lack a field, one has an extra blank, one lacks a dot. The age is
always the first field; what a short name does not give is None. Ages were estimated by a network
(DEX) and then checked by people. There are no identities.

Source: Zhang, Song, Qi, "Age Progression/Regression by Conditional Adversarial Autoencoder",
CVPR 2017, arXiv:1702.08423.
"""

from collections.abc import Iterator
from pathlib import Path

from wrinkle.datasets.dataset import DATASETS, Dataset
from wrinkle.datasets.rows import Dropped, Row, parse_age, separate
from wrinkle.errors import WrinkleError

GENDERS = {"0": "male", "1": "female"}
GROUPS = {"0": "White", "1": "Black", "2": "Asian", "3": "Indian", "4": "Others"}
_PARTS = ("part1", "part2", "part3")


@DATASETS.named("utkface")
class UTKFace(Dataset):
    """A folder of pictures, or the folders part1, part2 and part3."""

    description = (
        "UTKFace: 23,707 aligned faces of 200×200 pixels, ages 1–116, with gender and race"
    )
    terms = "non-commercial research only; copyright stays with the owners of the pictures"
    obtain = "https://susanqq.github.io/UTKFace/ (Aligned&Cropped Faces)"

    def read(self, root: Path) -> tuple[list[Row], list[Dropped]]:
        """Rows of the pictures in `root` and in its folders part1, part2 and part3.

        A row's name is the bare file name, so that split lists fit any of these layouts; a name
        that is repeated in a later folder is dropped. So are pictures whose name does not start
        with an age.

        Raises:
            WrinkleError: there is no picture.
        """
        rows, dropped = separate(_pictures(root))
        if not rows:
            raise WrinkleError(
                f"{root} is not UTKFace: expected pictures named"
                " age_gender_race_timestamp.jpg.chip.jpg in it, or in its folders part1, part2 and"
                " part3"
            )
        return sorted(rows, key=lambda row: row.name), dropped


def _pictures(root: Path) -> Iterator[Row | Dropped]:
    for path in _files(root):
        fields = path.name.split("_")
        age = parse_age(fields[0])
        if age is None or len(fields) < 2:
            yield Dropped(path.name, "no age in the name", "expected age_gender_race_…")
        else:
            # A name that lacks a field does not say which, so neither of the two is taken from it.
            gender, group = fields[1:3] if len(fields) == 4 else ("", "")
            yield Row(
                path=path,
                name=path.name,
                age=age,
                source="utkface",
                gender=GENDERS.get(gender),
                group=GROUPS.get(group),
            )


def _files(root: Path) -> list[Path]:
    folders = [folder for folder in (root, *(root / part for part in _PARTS)) if folder.is_dir()]
    return [path for folder in folders for path in sorted(folder.glob("*.jpg"))]
