"""The rows of a store that a model was trained on, and those that it is tested on."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import yaml

from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.protocols import get_protocol
from wrinkle.protocols.fold import limited

Split = Literal["train", "validation", "test", "all"]


def learned(
    provenance: dict[str, Any], store: Store, parts: Sequence[str] = ("train", "validation")
) -> np.ndarray:
    """Return the rows of a store that a model was trained or selected on, according to its file.

    The data of models that it was initialised from is not included.

    Args:
        provenance: from the header of the model file.
        store: the faces.
        parts: parts of the fold to include.

    Returns:
        (N,) int64, ascending. Empty for a model of another dataset. The dataset "folder" can be any
        data; for it the rows are empty unless the fingerprints are equal.
    """
    nothing = np.zeros(0, np.int64)
    data = provenance.get("data")
    if data != store.info.get("dataset"):
        return nothing
    if provenance.get("fingerprint", None if data == "folder" else store.fingerprint) != (
        store.fingerprint
    ):
        return nothing
    try:
        folds = get_protocol(provenance["split"]).folds(store.columns)
    except WrinkleError:  # other pictures of the same dataset, which this protocol cannot split
        return nothing
    recipe = yaml.safe_load(provenance.get("recipe", "{}"))
    limit = recipe.get("data", {}).get("limit")
    seed = recipe.get("training", {}).get("seed", 0)
    own = [limited(fold, limit, seed) for fold in folds if fold.name == provenance["fold"]]
    return np.unique(np.concatenate([nothing, *(getattr(f, p) for f in own for p in parts)]))


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
