"""fairface: its authors' training and validation pictures.

The authors' val/… is the test part. A twentieth of train/…, drawn by the SHA-256 of the names,
validates. Identical files are on one side if `wrinkle prepare` has removed the duplicates.
"""

import numpy as np
import pyarrow as pa

from wrinkle.protocols.fold import Fold, checked, shuffled
from wrinkle.protocols.protocol import PROTOCOLS, Protocol

VALIDATION = 20
"""One of so many training pictures validates."""


@PROTOCOLS.register
def fairface() -> Protocol:
    """The authors' split, one fold."""

    def split(table: pa.Table) -> list[Fold]:
        names = table["name"].to_pylist()
        train, test = (
            [row for row, name in enumerate(names) if name.startswith(f"{part}/")]
            for part in ("train", "val")
        )
        ordered = shuffled([names[row] for row in train], 0)
        drawn = set(ordered[: len(ordered) // VALIDATION])
        parts = (
            [row for row in train if names[row] not in drawn],
            [row for row in train if names[row] in drawn],
            test,
        )
        return checked([Fold("fairface", *(np.array(p, np.int64) for p in parts))], table)

    return Protocol(
        name="fairface",
        description="the authors' training and validation pictures; a twentieth of the former"
        " validates",
        source="Kärkkäinen and Joo, WACV 2021",
        folds=split,
        dataset="fairface",
    )
