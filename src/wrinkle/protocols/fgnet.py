"""fgnet-lopo[:PEOPLE[:SEED]]: leave one person out, FG-NET's protocol.

Each person's photographs are the test part once: 82 folds, named after the person. As published,
the other 81 people train and nothing validates, so the number of epochs is fixed beforehand.
PEOPLE > 0 takes that many of the others out of training to choose the epoch by; its results are
not strictly comparable with published ones, which train on everybody.

Source: X. Geng, Z.-H. Zhou, K. Smith-Miles, "Automatic age estimation based on facial aging
patterns", IEEE TPAMI 2007.
"""

import numpy as np
import pyarrow as pa

from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import Fold, Protocol, checked, persons, shuffled


def protocol(people: int = 0, seed: int = 0) -> Protocol:
    """One fold a person, in the order of their names. The `people` who validate follow the one
    left out in a ring drawn by `seed`, so that everybody validates equally often. Any store with
    at least `people` + 2 persons will do.
    """
    if people < 0:
        raise WrinkleError(f"fgnet-lopo cannot validate on {people} people")

    def split(table: pa.Table) -> list[Fold]:
        person = np.array(persons(table))
        everybody = sorted(set(person.tolist()))
        if len(everybody) < people + 2:
            raise WrinkleError(
                f"fgnet-lopo:{people} needs {people + 2} people; the store has {len(everybody)}"
            )
        ring = shuffled(everybody, seed) * 2
        folds = []
        for out in everybody:
            place = ring.index(out) + 1
            held = ring[place : place + people]
            tests, validates = person == out, np.isin(person, held)
            folds.append(
                Fold(
                    name=out,
                    train=np.flatnonzero(~tests & ~validates),
                    validation=np.flatnonzero(validates),
                    test=np.flatnonzero(tests),
                )
            )
        return checked(folds, table, apart=("person", "digest"), validated=people > 0)

    validation = f"{people} others validate, seed {seed}" if people else "no validation"
    return Protocol(
        name=f"fgnet-lopo:{people}:{seed}" if people else "fgnet-lopo",
        description=f"leave one person out, {validation}",
        source="Geng, Zhou, Smith-Miles, TPAMI 2007 (the FG-NET protocol)",
        checksum=None,
        folds=split,
    )
