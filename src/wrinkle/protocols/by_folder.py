"""by-folder[:SEED]: the split given by the folders in pictures' names, train/… and test/….

`wrinkle curate` exports such datasets. Pictures in validation/… validate; where there are none, a
tenth of those in train/… does, drawn by SEED. Pictures of one person, and identical files, stay
together. Other folders are in no part.
"""

import numpy as np
import pyarrow as pa

from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import Fold, checked, tenth
from wrinkle.protocols.protocol import PROTOCOLS, Protocol


@PROTOCOLS.named("by-folder")
def by_folder(seed: int = 0) -> Protocol:
    """One fold, named "split"."""

    def split(table: pa.Table) -> list[Fold]:
        parts = np.array([name.partition("/")[0] for name in table["name"].to_pylist()])
        train, validation, test = (
            np.flatnonzero(parts == part) for part in ("train", "validation", "test")
        )
        if not len(train) or not len(test):
            raise WrinkleError(
                "by-folder needs pictures whose names begin with train/ and with test/; the store"
                f" has {len(train):,} and {len(test):,}"
            )
        if not len(validation):
            drawn = np.isin(train, tenth(table, train, seed))
            train, validation = train[~drawn], train[drawn]
        return checked([Fold("split", train, validation, test)], table)

    return Protocol(
        name=f"by-folder:{seed}",
        description="train/…, validation/… and test/… in the pictures' names; without validation/"
        f" a tenth of train/…, seed {seed}",
        source="the dataset's authors",
        folds=split,
    )
