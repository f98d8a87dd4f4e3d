"""The two records of this room, and the checks that every protocol's folds pass."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pyarrow as pa

from wrinkle.errors import WrinkleError


@dataclass(frozen=True)
class Fold:
    """Row indices (int64, ascending, disjoint) of one training and its evaluation."""

    name: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


Sizes = tuple[int, int, int]
"""Pictures that train, validate and test."""


@dataclass(frozen=True)
class Protocol:
    """A published or stated way to split a dataset.

    source: the citation. checksum: sha256 of the packaged list's text, where there is one.
    folds: table with the columns name, age, person, gender, group, source, digest → folds, already
    checked. It raises WrinkleError when the table lacks what the protocol needs.
    dataset: what `wrinkle prepare` calls it; None: any.
    shares_people: whether a person's pictures may lie on two sides; None: the dataset does not say
    who is who.
    sizes: fold → its sizes over the whole dataset; empty where they depend on the data.
    names: the pictures of all parts, where a list names them.
    """

    name: str
    description: str
    source: str
    checksum: str | None
    folds: Callable[[pa.Table], list[Fold]]
    dataset: str | None
    shares_people: bool | None
    sizes: Mapping[str, Sizes] = field(default_factory=dict)
    names: Callable[[], Iterable[str]] | None = None

    @property
    def people(self) -> str:
        """What a reader of any table under this protocol must know of its people."""
        if self.shares_people is None:
            return "unknown (the dataset does not say who is who, so some may be shared)"
        return "shared (some both train and test)" if self.shares_people else "on one side only"


def checked(
    folds: list[Fold],
    table: pa.Table,
    *,
    apart: Sequence[str] = ("digest",),
    validated: bool = True,
) -> list[Fold]:
    """`folds`, if they hold what they promise; else WrinkleError.

    Train, validation and test share no row and no value of the columns `apart` (nulls are nobody's
    and never shared); train and test are never empty, validation only when not `validated`.
    """
    codes = {column: _codes(table, column) for column in apart}
    for fold in folds:
        parts = {"train": fold.train, "validation": fold.validation, "test": fold.test}
        for part, rows in parts.items():
            if len(rows) == 0 and (validated or part != "validation"):
                raise WrinkleError(f"fold {fold.name}: no {part} rows; the store is too small")
        for (first, a), (second, b) in combinations(parts.items(), 2):
            if np.intersect1d(a, b).size:
                raise WrinkleError(f"fold {fold.name}: {first} and {second} share rows")
            for column, code in codes.items():
                shared = np.intersect1d(code[a], code[b])
                if shared[shared >= 0].size:
                    one, other = (rows[code[rows] == shared[-1]][0] for rows in (a, b))
                    raise WrinkleError(
                        f"fold {fold.name}: {first} and {second} share a {column}, "
                        f"{table['name'][int(one)]} and {table['name'][int(other)]} for one"
                        " (prepare the data again, which removes duplicates)"
                    )
    return folds


def limited(fold: Fold, count: int | None, seed: int) -> Fold:
    """The fold with at most `count` rows in each part, drawn by `seed`; None: all of them."""
    if count is None:
        return fold

    def part(rows: np.ndarray) -> np.ndarray:
        random = np.random.Generator(np.random.Philox(key=seed))
        return np.sort(random.permutation(rows)[:count])

    return Fold(fold.name, part(fold.train), part(fold.validation), part(fold.test))


def persons(table: pa.Table) -> list[str]:
    """The person of every row; WrinkleError when one is unknown."""
    if table.num_rows == 0:
        raise WrinkleError("the store is empty: there is nothing to split")
    column: list[str] = table["person"].to_pylist()
    unknown = column.count(None)  # type: ignore[arg-type]
    if unknown:
        raise WrinkleError(
            f"{unknown} of {len(column)} rows have no person: this protocol keeps people apart and"
            " needs to know who they are (use random:K where there are no identities)"
        )
    return column


def assignment_checksum(folds: Iterable[Fold], names: Sequence[str]) -> str:
    """sha256 of who is where: the same for the same split, in whatever order the rows come."""
    lines = [
        f"{fold.name}\t{part}\t{names[row]}\n"
        for fold in folds
        for part in ("train", "validation", "test")
        for row in getattr(fold, part)
    ]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def shuffled(keys: Iterable[str], seed: int) -> list[str]:
    """`keys` in an order that depends on the seed and on themselves, not on how they came.

    Sorting by a hash gives the same split for the same names on every machine and version.
    """
    return sorted(keys, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).digest())


def deal(sizes: dict[str, int], count: int, seed: int) -> list[list[str]]:
    """Deal groups of the given sizes into `count` hands that hold about equally many rows.

    The largest group goes first, always to the lightest hand, so hands differ by at most the size
    of one group; groups of one size come in an order drawn by `seed`.
    """
    hands: list[list[str]] = [[] for _ in range(count)]
    weights = [0] * count
    for key in sorted(shuffled(sizes, seed), key=lambda key: -sizes[key]):
        lightest = weights.index(min(weights))
        hands[lightest].append(key)
        weights[lightest] += sizes[key]
    return hands


def fill(order: Iterable[str], sizes: Mapping[str, int], quotas: Sequence[int]) -> list[list[str]]:
    """Hands of exactly `quotas` rows: groups, whole and in `order`, go to the first with room.

    Groups that fit nowhere are in no hand. WrinkleError when a hand cannot be filled.
    """
    hands: list[list[str]] = [[] for _ in quotas]
    room = list(quotas)
    for key in order:
        for number, free in enumerate(room):
            if sizes[key] <= free:
                hands[number].append(key)
                room[number] -= sizes[key]
                break
    if any(room):
        raise WrinkleError("this seed deals people so that the sizes do not come out: take another")
    return hands


def rotate(keys: Sequence[str], hands: list[list[str]]) -> list[Fold]:
    """Fold k tests on hand k, validates on the hand after it, and trains on the others.

    keys: the group of every row. Folds are named "1" to "K".
    """
    hand_of = {key: number for number, hand in enumerate(hands) for key in hand}
    hand = np.array([hand_of[key] for key in keys], dtype=np.int64)
    folds = []
    for number in range(len(hands)):
        following = (number + 1) % len(hands)
        folds.append(
            Fold(
                name=str(number + 1),
                train=np.flatnonzero((hand != number) & (hand != following)),
                validation=np.flatnonzero(hand == following),
                test=np.flatnonzero(hand == number),
            )
        )
    return folds


def _codes(table: pa.Table, column: str) -> np.ndarray:
    """(N,) int64: equal values have equal codes, nulls have −1."""
    numbers: dict[str | None, int] = {None: -1}
    values = table[column].to_pylist()
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)
