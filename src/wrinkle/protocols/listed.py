"""Protocols in which a picture's name decides its part, whatever else is in the store."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import Fold, checked, persons
from wrinkle.protocols.protocol import Protocol, Sizes


def listed(
    *,
    name: str,
    description: str,
    source: str,
    checksum: str | None,
    dataset: str,
    shares_people: bool | None,
    sizes: Mapping[str, Sizes],
    letters: Callable[[str], str | None],
    names: Callable[[], Iterable[str]] | None = None,
) -> Protocol:
    """A protocol with a fold for each of `sizes`; the other arguments are those of `Protocol`.

    A store that lacks some pictures keeps the split of the others.

    Args:
        letters: as in `Protocol`.
    """

    def split(table: pa.Table) -> list[Fold]:
        if shares_people is False:
            persons(table)
        folds = _folds(_letters_of_rows(table, letters, dataset), list(sizes))
        apart = ("digest",) if shares_people else ("person", "digest")
        for validated in (True, False):
            some = [fold for fold in folds if (sizes[fold.name][1] > 0) == validated]
            checked(some, table, apart=apart, validated=validated)
        return folds

    return Protocol(
        name=name,
        description=description,
        source=source,
        checksum=checksum,
        folds=split,
        dataset=dataset,
        shares_people=shares_people,
        sizes=sizes,
        names=names,
        letters=letters,
    )


def _letters_of_rows(
    table: pa.Table, letters: Callable[[str], str | None], dataset: str
) -> list[str]:
    """The letters of every row.

    Raises:
        WrinkleError: a name is not the dataset's, or there is no row.
    """
    names = table["name"].to_pylist()
    every = [letters(name) for name in names]
    known = [some for some in every if some is not None]
    if len(known) < len(names) or not names:
        example = names[every.index(None)] if names else "nothing"
        raise WrinkleError(
            f"{len(known)} of the store's {len(names)} names are known as those of {dataset} (not:"
            f" {example}): this protocol splits what `wrinkle prepare {dataset}` makes"
        )
    return known


def _folds(letters: Sequence[str], names: Sequence[str]) -> list[Fold]:
    of_fold = np.array(letters).view("U1").reshape(len(letters), len(names)).T
    return [
        Fold(name, *(np.flatnonzero(of_row == part) for part in "tve"))
        for name, of_row in zip(names, of_fold, strict=True)
    ]
