"""UTKFace: 23,707 faces, aligned and cropped to 200×200 pixels, ages 1 to 116.

    age_gender_race_timestamp.jpg.chip.jpg   gender 0 male, 1 female; race 0–4, see GROUPS

Five names are malformed: three lack a field, one has a stray blank, one a missing dot. The age is
always the first field; what a short name does not say is None. Ages were estimated by a network
(DEX) and then checked by people. There are no identities.

Source: Zhang, Song, Qi, "Age Progression/Regression by Conditional Adversarial Autoencoder",
CVPR 2017, arXiv:1702.08423.
"""

from pathlib import Path

from wrinkle.datasets.rows import Dropped, Row, parse_age
from wrinkle.errors import WrinkleError

GENDERS = {"0": "male", "1": "female"}
GROUPS = {"0": "White", "1": "Black", "2": "Asian", "3": "Indian", "4": "Others"}
_PARTS = ("part1", "part2", "part3")


def read(root: Path) -> tuple[list[Row], list[Dropped]]:
    """Rows of the pictures that lie in `root`, or in its folders part1, part2 and part3.

    A row's name is the bare file name, so that split lists hold wherever the pictures lie; a name
    met again in a later folder is dropped. So are pictures whose name does not start with an age.
    WrinkleError when there is no picture.
    """
    rows: dict[str, Row] = {}
    dropped = []
    for path in _pictures(root):
        fields = path.name.split("_")
        age = parse_age(fields[0])
        if path.name in rows:
            dropped.append(Dropped(path.name, "same name twice", f"also {rows[path.name].path}"))
        elif age is None or len(fields) < 2:
            dropped.append(Dropped(path.name, "no age in the name", "expected age_gender_race_…"))
        else:
            # A name that lacks a field does not say which, so neither of the two is taken from it.
            gender, group = fields[1:3] if len(fields) == 4 else ("", "")
            rows[path.name] = Row(
                path=path,
                name=path.name,
                age=age,
                source="utkface",
                gender=GENDERS.get(gender),
                group=GROUPS.get(group),
            )
    if not rows:
        raise WrinkleError(
            f"{root} is not UTKFace: expected pictures named age_gender_race_timestamp.jpg.chip.jpg"
            " in it, or in its folders part1, part2 and part3"
        )
    return sorted(rows.values(), key=lambda row: row.name), dropped


def _pictures(root: Path) -> list[Path]:
    folders = [folder for folder in (root, *(root / part for part in _PARTS)) if folder.is_dir()]
    return [path for folder in folders for path in sorted(folder.glob("*.jpg"))]
