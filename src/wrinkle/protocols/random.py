"""random:K[:SEED]: K folds by picture, for datasets without identities.

Identical files stay together; pictures of the same person do not, so where people appear more than
once the measured error is too small (use by-person). Fold k tests on part k, validates on part
k + 1 (fold K on part 1) and trains on the rest; fold 1 of random:10 is an 80/10/10 holdout.
"""

from collections import Counter

import pyarrow as pa

from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import Fold, balanced_parts, checked, cross_validation
from wrinkle.protocols.protocol import PROTOCOLS, Protocol


@PROTOCOLS.register
def random(folds: int = 5, seed: int = 0) -> Protocol:
    """K-fold cross-validation over pictures; `folds` ≥ 3."""
    if folds < 3:
        raise WrinkleError(f"random needs at least 3 folds (test, validation, train), not {folds}")

    def split(table: pa.Table) -> list[Fold]:
        keys = [
            digest or f"name {name}"
            for digest, name in zip(
                table["digest"].to_pylist(), table["name"].to_pylist(), strict=True
            )
        ]
        sizes = Counter(keys)
        if len(sizes) < folds:
            raise WrinkleError(f"random:{folds} needs {folds} pictures; the store has {len(sizes)}")
        return checked(cross_validation(keys, balanced_parts(sizes, folds, seed)), table)

    return Protocol(
        name=f"random:{folds}:{seed}",
        description=f"{folds} folds by picture, people ignored; validation is the next fold;"
        f" seed {seed}",
        source="wrinkle",
        folds=split,
        shares_people=True,
    )
