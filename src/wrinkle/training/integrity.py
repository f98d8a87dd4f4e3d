"""Before a run: does anything of the test part train, now or before in the model it starts from?
Are there labels that the model cannot answer?"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.files import read_tensors, replace_file
from wrinkle.inference.provenance import learned
from wrinkle.models.pretrained import start_file
from wrinkle.protocols import Fold, Protocol
from wrinkle.protocols.integrity import check_people, find_leaks, leaks_csv, summary
from wrinkle.runs.folder import LEAKS_FILE, RUN_FILE, read_note
from wrinkle.runs.recipe import Recipe
from wrinkle.training.network import create_network


def check_integrity(
    root: Path, store: Store, protocol: Protocol, folds: Sequence[Fold], writer: str = ""
) -> str:
    """One line for tables on what training and test share; all of it goes to `root`/integrity.csv.

    What was looked for once is not looked for again. WrinkleError for people on both sides where
    the protocol is not known for it.
    """
    if (root / RUN_FILE).exists() and (root / LEAKS_FILE).exists():
        return str(read_note(root)["integrity"])
    leaks = find_leaks(store, folds)
    check_people(protocol, leaks)
    line = summary(protocol, leaks, len(folds))
    replace_file(root / LEAKS_FILE, leaks_csv(leaks), writer)
    if leaks:
        print(f"wrinkle: {line} They are listed in {root / LEAKS_FILE}", file=sys.stderr)
    return line


def check_start(init: str, store: Store, folds: Sequence[Fold]) -> None:
    """WrinkleError where the model file that a run starts from has learned from test pictures."""
    try:
        header = read_tensors(start_file(init), "model")[1]
    except WrinkleError:  # none, ImageNet, another program's file, or what `load_initial` refuses
        return
    known = learned(header["provenance"], store)
    for fold in folds:
        seen = np.intersect1d(fold.test, known)
        if len(seen):
            raise WrinkleError(
                f"init {init} has learned from {len(seen):,} of the {len(fold.test):,} pictures "
                f"that fold {fold.name} tests, such as {store.columns['name'][int(seen[0])]}: "
                "start from a model of other data, or of this fold's own training part"
            )


def check_labels(root: Path, recipe: Recipe, store: Store, folds: Sequence[Fold]) -> str:
    """One line on labels above the model's last age, which it cannot answer; "" without any.

    What was looked for once is not looked for again.
    """
    if (root / RUN_FILE).exists() and "labels" in (note := read_note(root)):
        return str(note["labels"])
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
    print(f"wrinkle: {line} With model.max_age={math.ceil(oldest)} it can.", file=sys.stderr)
    return line
