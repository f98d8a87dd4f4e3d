"""Checks before a run: what training and test parts share, and whether labels fit the ages."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from wrinkle.console import note
from wrinkle.datasets.store import Store
from wrinkle.files import replace_file
from wrinkle.protocols import Fold, Protocol
from wrinkle.protocols.integrity import check_people, find_leaks, leaks_csv, summary
from wrinkle.runs.folder import LEAKS_FILE, RUN_FILE, read_note
from wrinkle.runs.recipe import Recipe
from wrinkle.training.network import create_network


def check_integrity(
    root: Path, store: Store, protocol: Protocol, folds: Sequence[Fold], writer: str = ""
) -> str:
    """Compare training and test parts, and write what they share to `root`/integrity.csv.

    A run that was compared before is not compared again.

    Args:
        root: folder of the run.
        store: the faces.
        protocol: of the folds.
        folds: with the rows that the run uses.
        writer: as for `wrinkle.files.replace_file`.

    Returns:
        One line for tables.

    Raises:
        WrinkleError: training and test share people, and the protocol does not allow it.
    """
    if (root / RUN_FILE).exists() and (root / LEAKS_FILE).exists():
        return str(read_note(root)["integrity"])
    leaks = find_leaks(store, folds)
    check_people(protocol, leaks)
    line = summary(protocol, leaks, len(folds))
    replace_file(root / LEAKS_FILE, leaks_csv(leaks), writer)
    if leaks:
        note(f"{line} They are listed in {root / LEAKS_FILE}")
    return line


def check_labels(root: Path, recipe: Recipe, store: Store, folds: Sequence[Fold]) -> str:
    """One line on labels above the model's last age, which it cannot answer; "" without any.

    What was looked for once is not looked for again.
    """
    if (root / RUN_FILE).exists() and "labels" in (known := read_note(root)):
        return str(known["labels"])
    with torch.random.fork_rng():
        last = float(create_network(recipe).ages[-1])
    above = np.flatnonzero(store.ages > last)
    counts = {
        part: np.isin(above, np.concatenate([getattr(fold, part) for fold in folds])).sum()
        for part in ("train", "validation", "test")
    }
    if not any(counts.values()):
        return ""
    oldest = store.ages[above].max()
    line = (
        f"Labels above {last:g} years, the model's last age: {counts['train']:,} in training,"
        f" {counts['validation']:,} in validation, {counts['test']:,} in test, up to {oldest:g}."
        f" They are used as they are, but the model answers at most {last:g}."
    )
    note(f"{line} With model.max_age={math.ceil(oldest)} it can.")
    return line
