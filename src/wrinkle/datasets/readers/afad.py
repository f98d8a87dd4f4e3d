"""AFAD, the Asian Face Age Dataset, and AFAD-Lite, a part of it.

    AFAD-Full/18/111/1234-0.jpg   18 years old; 111 male, 112 female; picture 1234, face 0 in it

The pictures are faces cropped from selfies on a social network, many of them small. There are no
identities: faces with the same number have one age and often both genders, so it is the number of a
photograph.

Source: Niu, Zhou, Wang, Gao, Hua, "Ordinal Regression with Multiple Output CNN for Age Estimation",
CVPR 2016.
"""

from collections.abc import Iterator
from pathlib import Path

from wrinkle.datasets.dataset import DATASETS, Dataset
from wrinkle.datasets.folders import jpegs
from wrinkle.datasets.rows import Dropped, Row, parse_age, separate
from wrinkle.errors import WrinkleError

GENDERS = {"111": "male", "112": "female"}


@DATASETS.named("afad")
class AFAD(Dataset):
    """The folders AGE/111 and AGE/112."""

    description = (
        "AFAD: more than 160,000 faces of Asian people, ages from 15, with gender; AFAD-Lite:"
        " 60,000, ages 18–39"
    )
    terms = "academic research only"
    obtain = "https://afad-dataset.github.io/ (folder AFAD-Full or AFAD-Lite)"

    def read(self, root: Path) -> tuple[list[Row], list[Dropped]]:
        """Rows of the pictures named like 18/111/1234-0.jpg.

        Pictures in folders with other names are dropped.

        Raises:
            WrinkleError: there is no picture of AFAD.
        """
        rows, dropped = separate(_pictures(root))
        if not rows:
            raise WrinkleError(
                f"{root} is not AFAD: expected pictures as in 18/111/1234-0.jpg (age, 111 male or"
                " 112 female) in it; name the folder AFAD-Full or AFAD-Lite itself"
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
