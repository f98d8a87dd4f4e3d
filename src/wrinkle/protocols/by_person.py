"""by-person:K[:SEED]: K folds, nobody's pictures on two sides.

People are dealt so that folds hold about equally many pictures. Fold k tests on hand k, validates
on hand k + 1 (fold K on hand 1) and trains on the other K − 2: every picture is tested once and
validated once.
"""

from collections import Counter

import pyarrow as pa

from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import Fold, Protocol, checked, deal, persons, rotate


def protocol(folds: int = 5, seed: int = 0) -> Protocol:
    """K-fold cross-validation with disjoint people; `folds` ≥ 3."""
    if folds < 3:
        raise WrinkleError(
            f"by-person needs at least 3 folds (test, validation, train), not {folds}"
        )

    def split(table: pa.Table) -> list[Fold]:
        people = persons(table)
        sizes = Counter(people)
        if len(sizes) < folds:
            raise WrinkleError(
                f"by-person:{folds} needs {folds} people; the store has {len(sizes)}"
            )
        return checked(rotate(people, deal(sizes, folds, seed)), table, apart=("person", "digest"))

    return Protocol(
        name=f"by-person:{folds}:{seed}",
        description=f"{folds} folds by person; validation is the next fold's people; seed {seed}",
        source="wrinkle",
        checksum=None,
        folds=split,
        dataset=None,
        shares_people=False,
    )
