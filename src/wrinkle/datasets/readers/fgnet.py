"""FG-NET: 1,002 scanned photographs of 82 people, ages 0 to 69, with 68 hand-placed landmarks.

    images/001A02.JPG   person 001 at the age of 2; a trailing letter (001A43a) marks a second one
    points/001a02.pts   the landmarks; the two folders write names in different case

The 68 points are not in the order of iBUG. Determined from the photographs, with left and right as
in the picture and counted from zero:

    0–14   jaw, from the left temple (0) over the chin (7) to the right temple (14)
    15–20  right eyebrow, 15 the outer and 18 the inner end, 16, 17 above and 20, 19 below
    21–26  left eyebrow, 21 the outer and 24 the inner end, 22, 23 above and 26, 25 below
    27–31  left eye: outer corner, upper lid, inner corner, lower lid, 31 the pupil
    32–36  right eye: outer corner, upper lid, inner corner, lower lid, 36 the pupil
    37–45  outline of the nose: 37 left root, 40 lower end of the left wing, 41 base, 42 lower end
           of the right wing, 45 right root
    46, 47 left and right nostril
    48–59  outer lips: 48 left corner, 51 upper middle, 54 right corner, 57 lower middle
    60–62  upper edge of the lower lip, left to right
    63–65  lower edge of the upper lip, right to left
    66     middle of the mouth
    67     tip of the nose

Coordinates are stored as the files give them. The files do not say where their origin is. Measured
on the pupils (951 photographs, mean of both eyes, so that an annotator's bias inward or outward
cancels), the dark centre is 0.18 ± 0.05 pixels to the right of the given x if pixel i covers
[i, i + 1), 0.32 to the left if pixel i were centred on i, and 0.68 to the right if the files
counted from one. The first is this package's convention, and needs no shift.

Source: the FG-NET Aging Database (A. Lanitis, 2002); Panis et al., "Overview of research on facial
ageing using the FG-NET ageing database", IET Biometrics 2016.
"""

import re
from pathlib import Path

import numpy as np

from wrinkle.datasets.dataset import DATASETS, Dataset
from wrinkle.datasets.rows import Dropped, Row, parse_age
from wrinkle.errors import WrinkleError

_NAME = re.compile(r"(?P<person>\d{3})A(?P<age>\d{2})[A-Z]?\.JPG", re.IGNORECASE)


@DATASETS.named("fgnet")
class FGNet(Dataset):
    """The folders images and points."""

    description = "FG-NET: 1,002 scans of 82 people, ages 0–69, 68 hand-placed landmarks"
    terms = "research only; the photographs belong to the people who gave them"
    obtain = "https://yanweifu.github.io/FG_NET_data/ (folders images and points)"
    key_points = ((31,), (36,), (67,), (48,), (54,))

    def read(self, root: Path) -> tuple[list[Row], list[Dropped]]:
        """Rows of the photographs in `root`/images, with the landmarks of `root`/points.

        A photograph whose landmark file is missing or damaged keeps its row, without landmarks.
        Files that are not named like FG-NET's photographs are dropped.

        Raises:
            WrinkleError: `root` has no images or points.
        """
        folder = root / "images"
        if not folder.is_dir() or not (root / "points").is_dir():
            raise WrinkleError(
                f"{root} is not FG-NET: expected folders 'images' and 'points' in it"
            )
        points = {path.stem.lower(): path for path in (root / "points").iterdir()}
        rows, dropped = [], []
        for path in sorted(folder.iterdir()):
            name = f"images/{path.name}"
            match = _NAME.fullmatch(path.name)
            age = parse_age(match["age"]) if match else None
            if match is None or age is None:
                dropped.append(Dropped(name, "not a name of FG-NET"))
                continue
            file = points.get(path.stem.lower())
            landmarks = _read_points(file) if file else None
            person = match["person"]
            rows.append(Row(path, name, age, "fgnet", person=person, landmarks=landmarks))
        if not rows:
            raise WrinkleError(f"{folder} has no photograph named like 001A02.JPG")
        return rows, dropped


def _read_points(path: Path) -> np.ndarray | None:
    """(68, 2) float32 from a .pts file, or None when it does not hold 68 pairs of numbers."""
    body = path.read_text(encoding="ascii", errors="replace").partition("{")[2].partition("}")[0]
    try:
        values = np.array(body.split(), dtype=np.float32)
    except ValueError:
        return None
    return values.reshape(68, 2) if values.size == 136 and np.isfinite(values).all() else None
