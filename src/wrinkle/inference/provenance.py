"""Which rows of a store a model was trained on, and which part of a fold it is tested on."""

import base64
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import yaml

from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.protocols import get_protocol
from wrinkle.protocols.fold import limited

Split = Literal["train", "validation", "test", "all"]


def pack_digests(digests: Iterable[str]) -> str:
    """The first 8 bytes of SHA-256 digests in hexadecimal, as base64: 11 characters a picture."""
    return base64.b64encode(bytes.fromhex("".join(digest[:16] for digest in digests))).decode()


def learned(
    provenance: dict[str, Any], store: Store, parts: Sequence[str] = ("train", "validation")
) -> np.ndarray:
    """Rows of a store that a model was trained or chosen on, as far as its file says.

    Pictures are known by the digests of their files, whatever dataset they are in. Files of
    earlier versions have none; there they are known by their names in the list of the model's
    protocol, or by the model's fold of the same dataset. The models that it was initialised from
    are not followed.

    Args:
        provenance: from the header of the model file.
        parts: parts of the fold that count.

    Returns:
        (N,) int64, ascending. Empty where the file says too little.
    """
    if "digests" in provenance:
        known = b"".join(base64.b64decode(provenance["digests"][part]) for part in parts)
        packed = pack_digests(store.columns["digest"].to_pylist())
        own = np.frombuffer(base64.b64decode(packed), np.uint64)
        return np.flatnonzero(np.isin(own, np.frombuffer(known, np.uint64)))
    rows, table = np.arange(len(store)), store.columns
    nothing = rows[:0]
    data = provenance.get("data")
    if data != store.info.get("dataset"):
        rows, table = _listed(provenance.get("split"), table)
    elif provenance.get("fingerprint", None if data == "folder" else store.fingerprint) != (
        store.fingerprint
    ):
        return nothing
    if not len(rows):
        return nothing
    try:
        folds = get_protocol(provenance["split"]).folds(table)
    except WrinkleError:  # other pictures of the same dataset, which this protocol cannot split
        return nothing
    recipe = yaml.safe_load(provenance.get("recipe", "{}"))
    limit = recipe.get("data", {}).get("limit")
    seed = recipe.get("training", {}).get("seed", 0)
    own_folds = [limited(fold, limit, seed) for fold in folds if fold.name == provenance["fold"]]
    found = [getattr(fold, part) for fold in own_folds for part in parts]
    learned_rows: np.ndarray = rows[np.unique(np.concatenate([nothing, *found]))]
    return learned_rows


def _listed(split: str | None, table: pa.Table) -> tuple[np.ndarray, pa.Table]:
    """The rows whose file names are in the list of a protocol, with these names."""
    try:
        protocol = None if split is None else get_protocol(split)
    except WrinkleError:  # of a plug-in
        protocol = None
    if protocol is None or protocol.names is None:
        return np.zeros(0, np.int64), table
    listed = set(protocol.names())
    names = [name.rpartition("/")[2] for name in table["name"].to_pylist()]
    first = {name: row for row, name in reversed(list(enumerate(names))) if name in listed}
    rows = np.array(sorted(first.values()), np.int64)
    known = pa.array([names[row] for row in rows], pa.string())
    return rows, table.take(rows).set_column(table.column_names.index("name"), "name", known)


def split_rows(
    store: Store,
    split: Split,
    protocol: str | None = None,
    fold: str | None = None,
    provenance: dict[str, Any] | None = None,
) -> np.ndarray:
    """Rows of one part of a protocol's fold.

    Args:
        split: the part; "all" for every row.
        protocol: by default the one that the model was trained with.
        fold: by default the model's own under its own protocol, else the first.
        provenance: from the header of a model file.

    Returns:
        (N,) int64, ascending.

    Raises:
        WrinkleError: there is no protocol or no such fold, the part is empty, or the protocol does
            not fit the store.
    """
    if split == "all":
        return np.arange(len(store))
    own = provenance or {"split": None, "fold": None}
    if protocol is None or protocol == own["split"]:
        protocol, fold = own["split"], fold or own["fold"]
    if protocol is None:
        raise WrinkleError("a file of predictions has no protocol: name one with --protocol")
    folds = get_protocol(protocol).folds(store.columns)
    names = [each.name for each in folds]
    wanted = fold or names[0]
    if wanted not in names:
        raise WrinkleError(f"no fold {wanted!r}; choices: {', '.join(names)}")
    rows: np.ndarray = getattr(folds[names.index(wanted)], split)
    if not len(rows):
        raise WrinkleError(f"the {split} part of fold {wanted} is empty")
    return rows
