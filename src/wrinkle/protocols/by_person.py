"""by-person:K[:SEED]: K folds; all pictures of a person are in one part.

People are divided into K parts with about equally many pictures. Fold k tests on part k, validates
on part k + 1 (fold K on part 1) and trains on the other K − 2: every picture tests once and
validates once.
"""

from collections import Counter

import pyarrow as pa

from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import Fold, balanced_parts, checked, cross_validation, persons
from wrinkle.protocols.protocol import PROTOCOLS, Protocol


@PROTOCOLS.named("by-person")
def by_person(folds: int = 5, seed: int = 0) -> Protocol:
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
        parts = balanced_parts(sizes, folds, seed)
        return checked(cross_validation(people, parts), table, apart=("person", "digest"))

    return Protocol(
        name=f"by-person:{folds}:{seed}",
        description=f"{folds} folds by person; validation is the next fold's people; seed {seed}",
        source="wrinkle",
        folds=split,
        shares_people=False,
    )
