"""The rows of a store that a model was trained on, and those that it is tested on."""

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
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
    """Return the rows of a store that a model was trained or selected on, according to its file.

    Of an ensemble these are the rows of any of its members.

    Pictures are known by the digests of their files, whatever dataset they are in. Files of
    earlier versions have none; there they are known by their names in the list of the model's
    protocol, or by the model's fold of the same dataset. The data of models that it was initialised
    from, or that taught it, is not included.

    Args:
        provenance: from the header of the model file.
        store: the faces.
        parts: parts of the fold to include.

    Returns:
        (N,) int64, ascending. Empty where the file says too little.
    """
    if "members" in provenance:
        rows = [learned(each, store, parts) for each in provenance["members"]]
        return np.unique(np.concatenate(rows))
    if "digests" in provenance:
        known = b"".join(base64.b64decode(provenance["digests"][part]) for part in parts)
        packed = pack_digests(store.columns["digest"].to_pylist())
        digests = np.frombuffer(base64.b64decode(packed), np.uint64)
        return np.flatnonzero(np.isin(digests, np.frombuffer(known, np.uint64)))
    nothing = np.zeros(0, np.int64)
    recipe = yaml.safe_load(provenance.get("recipe", "{}"))
    limit = recipe.get("data", {}).get("limit")
    data = provenance.get("data")
    if data != store.info.get("dataset"):
        return nothing if limit else _listed(provenance, store, parts)
    if provenance.get("fingerprint", None if data == "folder" else store.fingerprint) != (
        store.fingerprint
    ):
        return nothing
    try:
        folds = get_protocol(provenance["split"]).folds(store.columns)
    except WrinkleError:  # other pictures of the same dataset, which this protocol cannot split
        return nothing
    seed = recipe.get("training", {}).get("seed", 0)
    own = [limited(fold, limit, seed) for fold in folds if fold.name == provenance["fold"]]
    return np.unique(np.concatenate([nothing, *(getattr(f, p) for f in own for p in parts)]))


def _listed(provenance: dict[str, Any], store: Store, parts: Sequence[str]) -> np.ndarray:
    """Rows whose file names the list of the model's protocol has in these parts."""
    try:
        protocol = get_protocol(provenance["split"])
    except (WrinkleError, KeyError):  # of a plug-in, or a file that does not say
        return np.zeros(0, np.int64)
    folds = list(protocol.sizes)
    if protocol.letters is None or provenance.get("fold") not in folds:
        return np.zeros(0, np.int64)
    fold, wanted = folds.index(provenance["fold"]), {part[0] for part in parts}
    letters = [
        protocol.letters(name.rpartition("/")[2]) for name in store.columns["name"].to_pylist()
    ]
    return np.flatnonzero([some is not None and some[fold] in wanted for some in letters])


def own_split(provenance: dict[str, Any], store: Store) -> tuple[str | None, str | None]:
    """Protocol and fold that a model was trained with; of several stores, those of this one.

    A store among several is known by its file's name.
    """
    stores = yaml.safe_load(provenance.get("recipe", "{}")).get("data", {}).get("stores")
    if not stores:
        return provenance.get("split"), provenance.get("fold")
    for each in stores:
        if Path(each["store"]).stem == store.path.stem:
            return each["protocol"], each["fold"]
    return None, None


def split_rows(
    store: Store,
    split: Split,
    protocol: str | None = None,
    fold: str | None = None,
    provenance: dict[str, Any] | None = None,
) -> np.ndarray:
    """Return the rows of one part of a protocol's fold.

    Args:
        store: the faces.
        split: the part; "all" for every row.
        protocol: its name; None: the one that the model was trained with.
        fold: its name; None: the model's fold under the model's protocol, else the first.
        provenance: from the header of a model file, if there is one.

    Returns:
        (N,) int64, ascending.

    Raises:
        WrinkleError: there is no protocol or no such fold, the part is empty, or the protocol does
            not fit the store.
    """
    if split not in get_args(Split):
        raise WrinkleError(f"split is {split!r}; choices: {', '.join(get_args(Split))}")
    if split == "all":
        return np.arange(len(store))
    own_protocol, own_fold = own_split(provenance or {}, store)
    if protocol is None or protocol == own_protocol:
        protocol, fold = own_protocol, fold or own_fold
    if protocol is None:
        what = "a model of several stores has" if provenance else "a file of predictions has"
        raise WrinkleError(f"{what} no protocol for {store.path}: name one with --protocol")
    folds = get_protocol(protocol).folds(store.columns)
    names = [each.name for each in folds]
    wanted = fold or names[0]
    if wanted not in names:
        raise WrinkleError(f"no fold {wanted!r}; choices: {', '.join(names)}")
    rows: np.ndarray = getattr(folds[names.index(wanted)], split)
    if not len(rows):
        raise WrinkleError(f"the {split} part of fold {wanted} is empty")
    return rows
