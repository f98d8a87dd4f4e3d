"""A fold, the checks that every protocol's folds pass, and ways to draw folds."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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


def checked(
    folds: list[Fold],
    table: pa.Table,
    *,
    apart: Sequence[str] = ("digest",),
    validated: bool = True,
) -> list[Fold]:
    """`folds`, after a check that their parts are disjoint and not empty.

    Args:
        apart: columns of which no value may be in two parts; nulls are never shared.
        validated: whether the validation part may not be empty either.

    Raises:
        WrinkleError: a fold fails a check; one line.
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
                        f"such as {table['name'][int(one)]} and {table['name'][int(other)]}"
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
    """The person of every row.

    Raises:
        WrinkleError: the table is empty, or a person is unknown.
    """
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
    """SHA-256 of which picture is in which part; it does not depend on the order of rows."""
    lines = [
        f"{fold.name}\t{part}\t{names[row]}\n"
        for fold in folds
        for part in ("train", "validation", "test")
        for row in getattr(fold, part)
    ]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def shuffled(keys: Iterable[str], seed: int) -> list[str]:
    """`keys` in an order that depends only on them and on the seed, not on their order.

    Sorting by a hash gives the same split for the same names on every machine and version.
    """
    return sorted(keys, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).digest())


def balanced_parts(sizes: Mapping[str, int], count: int, seed: int) -> list[list[str]]:
    """Divide groups into `count` parts with about equally many rows.

    The largest group comes first, and each goes to the smallest part so far, so parts differ by at
    most the size of one group. Groups of the same size come in an order drawn by `seed`.

    Args:
        sizes: group → its number of rows.
    """
    parts: list[list[str]] = [[] for _ in range(count)]
    totals = [0] * count
    for key in sorted(shuffled(sizes, seed), key=lambda key: -sizes[key]):
        smallest = totals.index(min(totals))
        parts[smallest].append(key)
        totals[smallest] += sizes[key]
    return parts


def tenth(table: pa.Table, rows: np.ndarray, seed: int) -> np.ndarray:
    """About a tenth of `rows`, none of whose people or files are in the rest, drawn by `seed`."""
    some = table.take(rows)
    labels = zip(*(some[c].to_pylist() for c in ("person", "digest", "name")), strict=True)
    keys = [
        f"person {person}" if person else f"picture {digest or name}"
        for person, digest, name in labels
    ]
    drawn = set(balanced_parts(Counter(keys), 10, seed)[0])
    return rows[[key in drawn for key in keys]]


def parts_of_size(
    order: Iterable[str], sizes: Mapping[str, int], quotas: Sequence[int]
) -> list[list[str]]:
    """Parts of exactly `quotas` rows: groups in `order`, each to the first part with enough space.

    Groups are never divided; those that fit nowhere are in no part.

    Args:
        sizes: group → its number of rows.

    Raises:
        WrinkleError: a part cannot be filled exactly.
    """
    parts: list[list[str]] = [[] for _ in quotas]
    space = list(quotas)
    for key in order:
        for number, free in enumerate(space):
            if sizes[key] <= free:
                parts[number].append(key)
                space[number] -= sizes[key]
                break
    if any(space):
        raise WrinkleError(
            "this seed draws people in an order that does not give the exact sizes: use another"
        )
    return parts


def cross_validation(keys: Sequence[str], parts: list[list[str]]) -> list[Fold]:
    """Fold k tests on part k, validates on the part after it, and trains on the others.

    Args:
        keys: the group of every row.
        parts: the groups of each part.

    Returns:
        Folds named "1" to "K".
    """
    part_of = {key: number for number, part in enumerate(parts) for key in part}
    part = np.array([part_of[key] for key in keys], dtype=np.int64)
    folds = []
    for number in range(len(parts)):
        following = (number + 1) % len(parts)
        folds.append(
            Fold(
                name=str(number + 1),
                train=np.flatnonzero((part != number) & (part != following)),
                validation=np.flatnonzero(part == following),
                test=np.flatnonzero(part == number),
            )
        )
    return folds


def _codes(table: pa.Table, column: str) -> np.ndarray:
    """(N,) int64: equal values have equal codes, nulls have −1."""
    numbers: dict[str | None, int] = {None: -1}
    values = table[column].to_pylist()
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)
