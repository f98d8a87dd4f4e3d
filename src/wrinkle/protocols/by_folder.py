"""by-folder[:SEED]: the split given by the folders in pictures' names, train/… and test/….

`wrinkle curate` exports such datasets. Pictures in validation/… validate; where there are none, a
tenth of those in train/… does, drawn by SEED. Pictures of one person, and identical files, stay
together. Other folders are in no part.
"""

from collections import Counter

import numpy as np
import pyarrow as pa

from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import Fold, balanced_parts, checked
from wrinkle.protocols.protocol import PROTOCOLS, Protocol

TENTHS = 10


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
            drawn = np.isin(train, _tenth(table, train, seed))
            train, validation = train[~drawn], train[drawn]
        return checked([Fold("split", train, validation, test)], table)

    return Protocol(
        name=f"by-folder:{seed}",
        description="train/…, validation/… and test/… in the pictures' names; without validation/"
        f" a tenth of train/…, seed {seed}",
        source="the dataset's authors",
        folds=split,
    )


def _tenth(table: pa.Table, rows: np.ndarray, seed: int) -> np.ndarray:
    """A tenth of `rows`, none of whose people or files are in the rest."""
    some = table.take(rows)
    labels = zip(*(some[c].to_pylist() for c in ("person", "digest", "name")), strict=True)
    keys = [
        f"person {person}" if person else f"picture {digest or name}"
        for person, digest, name in labels
    ]
    drawn = set(balanced_parts(Counter(keys), TENTHS, seed)[0])
    return rows[[key in drawn for key in keys]]
