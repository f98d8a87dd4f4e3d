"""adience: its owners' five folds, which keep albums apart.

Fold k tests on the pictures of fold_k_data.txt. Of the other four files, a tenth of the albums,
drawn by the SHA-256 of their names, validates.
"""

import numpy as np
import pyarrow as pa

from wrinkle.protocols.fold import Fold, checked, tenth
from wrinkle.protocols.protocol import PROTOCOLS, Protocol

FOLDS = 5


@PROTOCOLS.register
def adience() -> Protocol:
    """Five folds, named "0" to "4" as the owners' files are."""

    def split(table: pa.Table) -> list[Fold]:
        part = np.array([name.partition("/")[0] for name in table["name"].to_pylist()])
        folds = []
        for number in range(FOLDS):
            test = part == f"fold_{number}"
            others = np.flatnonzero(~test)
            drawn = np.isin(others, tenth(table, others, 0))
            folds.append(
                Fold(str(number), others[~drawn], others[drawn], np.flatnonzero(test)),
            )
        return checked(folds, table, apart=("person", "digest"))

    return Protocol(
        name="adience",
        description="the owners' five folds of albums; a tenth of the training albums validates",
        source="Eidinger, Enbar and Hassner, IEEE TIFS 2014",
        folds=split,
        dataset="adience",
        shares_people=False,
    )
