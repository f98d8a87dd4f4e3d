"""AFAD, the Asian Face Age Dataset: more than 160,000 faces of Asian people, ages from 15 on; and
AFAD-Lite, 60,000 of them, ages 18 to 39.

    AFAD-Full/18/111/1234-0.jpg   18 years old; 111 male, 112 female; picture 1234, face 0 in it

Cut-out faces from selfies on a social network, many of them small. There are no identities: faces
of one number have one age and often both genders, so it is the number of a photograph.

Source: Niu, Zhou, Wang, Gao, Hua, "Ordinal Regression with Multiple Output CNN for Age Estimation",
CVPR 2016.
"""

from collections.abc import Iterator
from pathlib import Path

from wrinkle.datasets.csv_files import jpegs
from wrinkle.datasets.rows import Dropped, Row, parse_age, sort_out
from wrinkle.errors import WrinkleError

GENDERS = {"111": "male", "112": "female"}


def read(root: Path) -> tuple[list[Row], list[Dropped]]:
    """Rows of the pictures in `root`/AGE/111 and `root`/AGE/112, named so: 18/111/1234-0.jpg.

    Pictures in folders of another name are dropped. WrinkleError when there is no picture of AFAD.
    """
    rows, dropped = sort_out(_pictures(root))
    if not rows:
        raise WrinkleError(
            f"{root} is not AFAD: expected pictures as in 18/111/1234-0.jpg (age, 111 male or 112"
            " female) in it; name the folder AFAD-Full or AFAD-Lite itself"
        )
    return rows, dropped


def _pictures(root: Path) -> Iterator[Row | Dropped]:
    for path in jpegs(root, "*/*/*"):
        name = path.relative_to(root).as_posix()
        age, gender = parse_age(path.parts[-3]), GENDERS.get(path.parts[-2])
        if age is None:
            yield Dropped(name, "impossible age", f"folder {path.parts[-3]}")
        elif gender is None:
            yield Dropped(name, "unknown gender", f"folder {path.parts[-2]}: expected 111 or 112")
        else:
            yield Row(path=path, name=name, age=age, source="afad", gender=gender)
