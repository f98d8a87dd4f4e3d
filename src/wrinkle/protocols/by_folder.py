"""by-folder[:SEED]: the split that the names of the pictures state, train/… and test/….

What `wrinkle curate` exports is split so, and a folder of one's own may be. Pictures under
validation/… validate; where there are none, a tenth of those under train/… does, drawn by SEED,
a person's pictures, or those of equal bytes, all or none. Other folders are in no part.
"""

from collections import Counter

import numpy as np
import pyarrow as pa

from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import Fold, Protocol, checked, deal

TENTH = 10


def protocol(seed: int = 0) -> Protocol:
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
        source="whoever made the dataset",
        checksum=None,
        folds=split,
        dataset=None,
        shares_people=None,
    )


def _tenth(table: pa.Table, rows: np.ndarray, seed: int) -> np.ndarray:
    some = table.take(rows)
    labels = zip(*(some[c].to_pylist() for c in ("person", "digest", "name")), strict=True)
    keys = [
        f"person {person}" if person else f"picture {digest or name}"
        for person, digest, name in labels
    ]
    hand = set(deal(Counter(keys), TENTH, seed)[0])
    return rows[[key in hand for key in keys]]
