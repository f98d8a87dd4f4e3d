"""Leaks from test to training: shared people, identical files, and near-identical pictures.

Two pictures are near-identical when their crops' perceptual hashes differ in fewer than
`wrinkle.duplicates.near_duplicates.NEAR` bits. That finds a photograph that was saved again, scaled
or brightened. Sometimes the pictures are of different people, so a near-identical pair is listed
and not an error. A person who trains and tests is an error unless the protocol shares people.
"""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from wrinkle.console import count
from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import Fold
from wrinkle.protocols.protocol import Protocol

if TYPE_CHECKING:
    from wrinkle.datasets.store import Store

KINDS = {
    "person": ("person", "people"),
    "file": ("identical file", "identical files"),
    "near": ("near-identical picture", "near-identical pictures"),
}
"""Kind of leak → its singular and plural."""


@dataclass(frozen=True)
class Leak:
    """A picture of a fold's test part and one that trains or validates beside it.

    Attributes:
        fold: its name.
        kind: a key of `KINDS`. A shared person is listed once in a fold.
        test: name of the picture that tests.
        train: name of the other: the first of the person, the first identical file, or the
            near-identical picture whose hash is nearest.
        detail: the person, the SHA-256 of the file, or the number of bits in which hashes differ.
    """

    fold: str
    kind: str
    test: str
    train: str
    detail: str


def find_leaks(store: "Store", folds: Sequence[Fold]) -> list[Leak]:
    """What the test part of each fold shares with its training and validation parts.

    A test picture is listed at most once as an identical file, or else as near-identical.
    """
    table = store.columns
    names = table["name"].to_pylist()
    sources, people = table["source"].to_pylist(), table["person"].to_pylist()
    person = [p and (s, p) for s, p in zip(sources, people, strict=True)]
    digests = table["digest"].to_pylist()
    neighbours = _neighbours(store)
    leaks = []
    for fold in folds:
        test, train = fold.test.tolist(), [*fold.train.tolist(), *fold.validation.tolist()]
        by_person = {person[row]: row for row in reversed(train) if person[row]}
        shared = {person[row]: row for row in reversed(test) if person[row] in by_person}
        pairs = [("person", row, by_person[who], who[1]) for who, row in sorted(shared.items())]
        by_digest = {digests[row]: row for row in reversed(train)}
        same = {row: by_digest[digests[row]] for row in test if digests[row] in by_digest}
        pairs += [("file", row, other, digests[row]) for row, other in same.items()]
        near = neighbours.nearest(fold.test, np.array(train, np.int64))
        pairs += [("near", row, other, str(bits)) for row, other, bits in near if row not in same]
        leaks += [Leak(fold.name, kind, names[a], names[b], what) for kind, a, b, what in pairs]
    return leaks


class Neighbours:
    """Pairs of near-identical pictures, found once for any number of folds.

    Args:
        hashes: (N,) uint64 perceptual hashes.
    """

    def __init__(self, hashes: np.ndarray) -> None:
        from wrinkle.duplicates.near_duplicates import near_pairs

        unique, self.code = np.unique(hashes, return_inverse=True)
        pairs = near_pairs(unique)
        own = np.arange(len(unique))
        a = np.concatenate([own, pairs[:, 0], pairs[:, 1]])
        b = np.concatenate([own, pairs[:, 1], pairs[:, 0]])
        bits = np.bitwise_count(unique[a] ^ unique[b]).astype(np.int64)
        order = np.lexsort([bits, a])
        self.a, self.b, self.bits = a[order], b[order], bits[order]

    def nearest(self, test: np.ndarray, train: np.ndarray) -> list[tuple[int, int, int]]:
        """(test row, nearest training row, bits) of the test rows with a near-identical one."""
        first = np.full(len(self.code), -1)  # hash → the first training row that has it
        first[self.code[train[::-1]]] = train[::-1]
        found = first[self.b] >= 0
        a, b, bits = self.a[found], self.b[found], self.bits[found]
        hashes, place = np.unique(a, return_index=True)
        nearest = dict(zip(hashes.tolist(), place.tolist(), strict=True))
        rows = [(row, nearest.get(code)) for row, code in zip(test, self.code[test], strict=True)]
        return [(int(r), int(first[b[i]]), int(bits[i])) for r, i in rows if i is not None]


@lru_cache(maxsize=1)
def _neighbours(store: "Store") -> Neighbours:
    """Kept for further runs on the same store, such as those of several variants."""
    from wrinkle.duplicates.near_duplicates import store_hashes

    return Neighbours(store_hashes(store))


def check_people(protocol: Protocol, leaks: Sequence[Leak]) -> None:
    """Check that nobody trains and tests, unless the protocol shares people.

    Raises:
        WrinkleError: somebody does; one line with an example.
    """
    shared = [leak for leak in leaks if leak.kind == "person"]
    if protocol.shares_people or not shared:
        return
    leak = shared[0]
    people = count(sum(each.fold == leak.fold for each in shared), "person", "people")
    raise WrinkleError(
        f"fold {leak.fold} of {protocol.name} has {people} in both training and test, such as "
        f"{leak.detail} ({leak.test}, {leak.train}): use a protocol that keeps people apart, "
        "such as by-person:5"
    )


def summary(protocol: Protocol, leaks: Sequence[Leak], folds: int) -> str:
    """One line for a table: which people and files are in training and test."""
    counts = Counter(leak.kind for leak in leaks)
    here = [count(counts[kind], *nouns) for kind, nouns in KINDS.items() if counts[kind]]
    found = ", ".join(here) or "nothing found"
    over = f" (over {folds} folds)" if folds > 1 and here else ""
    return f"People: {protocol.people}. Both in training and test: {found}{over}."


def leaks_csv(leaks: Sequence[Leak]) -> bytes:
    """A CSV file with the columns fold, kind, test, train, detail."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([field.name for field in fields(Leak)])
    table.writerows(map(astuple, leaks))
    return text.getvalue().encode()
