"""fgnet-lopo[:PEOPLE[:SEED]]: leave one person out, FG-NET's protocol.

Each person's photographs are the test part once: 82 folds, named after the person. As published,
the other 81 people train and nothing validates, so the number of epochs is fixed beforehand. With
PEOPLE > 0, that many of the others validate instead of training; results are then not strictly
comparable with published ones, which train on all 81.

Source: X. Geng, Z.-H. Zhou, K. Smith-Miles, "Automatic age estimation based on facial aging
patterns", IEEE TPAMI 2007.
"""

import numpy as np
import pyarrow as pa

from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import Fold, checked, persons, shuffled
from wrinkle.protocols.protocol import PROTOCOLS, Protocol

# How many of the 1,002 pictures show persons 001 to 082.
_PICTURES = (
    *(15, 16, 12, 12, 11, 12, 9, 15, 13, 12, 14, 15, 12, 10, 13, 13, 13, 11, 10, 13, 12, 13, 12),
    *(11, 12, 11, 11, 11, 13, 11, 13, 12, 11, 13, 14, 13, 12, 14, 14, 14, 10, 13, 11, 10, 13, 13),
    *(14, 16, 10, 8, 11, 11, 13, 13, 8, 8, 10, 11, 9, 12, 13, 12, 10, 6, 15, 12, 10, 10, 11, 11),
    *(13, 14, 16, 16, 10, 18, 16, 16, 14, 14, 12, 11),
)
_SIZES = {
    f"{person:03}": (sum(_PICTURES) - tested, 0, tested)
    for person, tested in enumerate(_PICTURES, 1)
}


@PROTOCOLS.named("fgnet-lopo")
def fgnet_lopo(people: int = 0, seed: int = 0) -> Protocol:
    """One fold for each person, in the order of their names; for any store with enough people.

    Args:
        people: how many validate. They follow the person left out in a cyclic order drawn by
            `seed`, so that everybody validates equally often.
    """
    if people < 0:
        raise WrinkleError(f"fgnet-lopo cannot validate on {people} people")

    def split(table: pa.Table) -> list[Fold]:
        person = np.array(persons(table))
        names = sorted(set(person.tolist()))
        if len(names) < people + 2:
            raise WrinkleError(
                f"fgnet-lopo:{people} needs {people + 2} people; the store has {len(names)}"
            )
        cycle = shuffled(names, seed) * 2
        folds = []
        for tested in names:
            place = cycle.index(tested) + 1
            tests, validates = person == tested, np.isin(person, cycle[place : place + people])
            folds.append(
                Fold(
                    name=tested,
                    train=np.flatnonzero(~tests & ~validates),
                    validation=np.flatnonzero(validates),
                    test=np.flatnonzero(tests),
                )
            )
        return checked(folds, table, apart=("person", "digest"), validated=people > 0)

    validation = f"{people} others validate, seed {seed}" if people else "no validation"
    return Protocol(
        name=f"fgnet-lopo:{people}:{seed}" if people else "fgnet-lopo",
        description=f"leave one person out (FG-NET: 82 folds over 1,002 pictures), {validation}",
        source="Geng, Zhou, Smith-Miles, TPAMI 2007 (the FG-NET protocol)",
        folds=split,
        dataset="fgnet",
        shares_people=False,
        sizes={} if people else _SIZES,
    )
