"""The faces of a recipe: its store, or several as one, and the protocol that splits them."""

from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from wrinkle.datasets.joined import JoinedStore
from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.protocols import Fold, Protocol, get_protocol
from wrinkle.runs.sections import Data, Faces, joined_name


def open_faces(data: Data) -> Store:
    """Open the store of a recipe, or all its stores as one.

    The last one is kept open, so that several runs on the same files share it.

    Raises:
        WrinkleError: a store is missing or damaged, or sizes of crops differ.
    """
    paths = [Path(file) for file in data.files]
    versions = [path.stat() if path.exists() else None for path in paths]
    changed = tuple(each and (each.st_ino, each.st_mtime_ns, each.st_size) for each in versions)
    return _open(tuple(paths), changed, bool(data.stores))


@lru_cache(maxsize=1)
def _open(paths: tuple[Path, ...], versions: tuple[object, ...], joined: bool) -> Store:
    stores = [Store(path) for path in paths]
    return JoinedStore(stores) if joined else stores[0]


def protocol_of(data: Data) -> Protocol:
    """The protocol that splits a recipe's faces.

    That of several stores has one fold, with the rows that train, validate and test in the chosen
    fold of each. It splits the table of `open_faces`.
    """
    if not data.stores:
        return get_protocol(data.protocol)
    protocols = [get_protocol(each.protocol) for each in data.stores]
    shared = [protocol.shares_people for protocol in protocols]

    def split(table: pa.Table) -> list[Fold]:
        owner = np.array([name.partition("/")[0] for name in table["name"].to_pylist()])
        parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
        for each, protocol in zip(data.stores, protocols, strict=True):
            rows = np.flatnonzero(owner == Path(each.store).stem)
            fold = _chosen(each, protocol.folds(_own_names(table.take(rows))))
            for part, found in parts.items():
                own = getattr(fold, part)
                if part == "train":
                    own = _capped(own, table["person"].take(rows), each.per_person)
                found.append(rows[own])
        joined = {part: np.concatenate(found) for part, found in parts.items()}
        return [Fold(joined_name(data.files), **joined)]

    return Protocol(
        name=data.split,
        description="one fold of each of several stores",
        source="; ".join(dict.fromkeys(protocol.source for protocol in protocols)),
        folds=split,
        shares_people=True if True in shared else None if None in shared else False,
    )


def draw_weights(data: Data, store: Store) -> np.ndarray:
    """How often each row is drawn relative to the others, by its store: (N,) float64."""
    weights = np.ones(len(store))
    if isinstance(store, JoinedStore):
        for each, first, end in zip(data.stores, store.starts, store.starts[1:], strict=False):
            weights[first:end] = each.weight
    return weights


def _own_names(table: pa.Table) -> pa.Table:
    """The table with names as they are in its own store."""
    names = [name.partition("/")[2] for name in table["name"].to_pylist()]
    place = table.schema.get_field_index("name")
    return table.set_column(place, table.schema.field("name"), pa.array(names, pa.string()))


def _chosen(faces: Faces, folds: list[Fold]) -> Fold:
    if faces.fold is None and len(folds) == 1:
        return folds[0]
    names = [fold.name for fold in folds]
    if faces.fold not in names:
        shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        what = "no fold is chosen" if faces.fold is None else f"there is no fold {faces.fold}"
        raise WrinkleError(f"{faces.store}, {faces.protocol}: {what}; choices: {shown}")
    return folds[names.index(faces.fold)]


def _capped(rows: np.ndarray, people: pa.ChunkedArray, most: int | None) -> np.ndarray:
    """The rows with at most so many of each person, the first of each in the store."""
    if most is None:
        return rows
    seen: Counter[str] = Counter()
    kept = []
    names = people.to_pylist()
    for row in rows.tolist():
        who = names[row]
        seen[who] += 1
        if who is None or seen[who] <= most:
            kept.append(row)
    return np.array(kept, np.int64)
