"""The models that a fold starts or learns from, and the check that they know no test pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.files import read_tensors
from wrinkle.inference.provenance import learned
from wrinkle.models.pretrained import start_file
from wrinkle.protocols import Fold
from wrinkle.runs.folder import MODEL_FILE, RESULT_FILE
from wrinkle.runs.recipe import Recipe


def fold_recipes(recipe: Recipe, store: Store, folds: Sequence[Fold]) -> list[Recipe]:
    """Return the recipe of each fold: `init` and `teachers` name files instead of runs.

    Of a run with several folds each fold gets a model that knows nothing of its test part: neither
    its pictures nor other pictures of its people. So a run that leaves one person out may start
    from a run on five folds by person.

    Args:
        recipe: of the run.
        store: the faces.
        folds: that will be trained.

    Raises:
        WrinkleError: a model was trained on test pictures of a fold, or no model of a run fits.
    """
    init = _models("init", recipe.init, store, folds)
    teachers = [_models("teacher", teacher, store, folds) for teacher in recipe.teachers]
    return [
        recipe.model_copy(update={"init": init[n], "teachers": tuple(each[n] for each in teachers)})
        for n in range(len(folds))
    ]


def _models(what: str, source: str, store: Store, folds: Sequence[Fold]) -> list[str]:
    """The model of each fold; `what` names the field, for messages."""
    if start_file(source).is_dir():
        return _models_of_run(what, Path(source), store, folds)
    try:
        known = _learned(start_file(source), store)
    except WrinkleError:  # no model file of wrinkle; `load_initial` reports other errors
        return [source] * len(folds)
    for fold in folds:
        seen = np.intersect1d(fold.test, known)
        if len(seen):
            raise WrinkleError(
                f"{what} {source} was trained on {len(seen):,} of the {len(fold.test):,} test "
                f"pictures of fold {fold.name}, such as {store.columns['name'][int(seen[0])]}: "
                "use a model of other data, or of this fold's training part"
            )
    return [source] * len(folds)


def _models_of_run(what: str, run: Path, store: Store, folds: Sequence[Fold]) -> list[str]:
    done = [file.with_name(MODEL_FILE) for file in sorted(run.glob(f"*/{RESULT_FILE}"))]
    files = [file for file in done if file.exists()]
    if not files:
        raise WrinkleError(f"{what} {run} holds no run with a finished fold: train it first")
    person = _person_codes(store)
    known = {str(file): _learned(file, store) for file in files}
    found = []
    for fold in folds:
        people = np.setdiff1d(person[fold.test], [-1])
        unseen = (
            file
            for file, rows in known.items()
            if not np.isin(rows, fold.test).any() and not np.isin(person[rows], people).any()
        )
        file = next(unseen, None)
        if file is None:
            raise WrinkleError(
                f"{what} {run}: no model of its {len(files)} finished folds is without the people "
                f"and pictures of fold {fold.name}'s test part: train the other folds of that run, "
                "or give a run on folds by person"
            )
        found.append(file)
    return found


def _learned(file: Path, store: Store) -> np.ndarray:
    return learned(read_tensors(file, "model")[1]["provenance"], store)


def _person_codes(store: Store) -> np.ndarray:
    """(N,) int64: the same person of the same dataset has the same code, an unknown one −1."""
    columns = (store.columns[name].to_pylist() for name in ("source", "person"))
    codes: dict[tuple[str, str], int] = {}
    return np.array(
        [
            codes.setdefault((source, person), len(codes)) if person else -1
            for source, person in zip(*columns, strict=True)
        ],
        dtype=np.int64,
    )
