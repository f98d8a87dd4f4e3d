"""Training and test of a recipe's folds."""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import Accelerator

from wrinkle.console import say
from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.files import replace_file
from wrinkle.protocols import Fold
from wrinkle.protocols.fold import limited
from wrinkle.runs.data import open_faces, protocol_of
from wrinkle.runs.folder import (
    MODEL_FILE,
    RECIPE_FILE,
    RESULT_FILE,
    STATE_FILE,
    Result,
    read_result,
)
from wrinkle.runs.recipe import Recipe
from wrinkle.training.extras import EXTRAS_FILE
from wrinkle.training.integrity import check_integrity, check_labels
from wrinkle.training.loop import Trainer
from wrinkle.training.memory import keep_freed_memory
from wrinkle.training.network import try_out
from wrinkle.training.results_table import write_table
from wrinkle.training.run_folder import check_folder, write_folder
from wrinkle.training.score_fold import score_fold
from wrinkle.training.starts import fold_recipes
from wrinkle.training.teachers import teacher_files


def train(
    recipe: Recipe, folds: str | None = None, runs: str | Path = "runs", command: str | None = None
) -> list[Result]:
    """Train folds of a recipe and test each; a stopped run is resumed.

    Everything is written to `runs/<recipe name>/`: the recipe, a folder for each fold, and
    results.csv and results.md of the finished folds, which are also printed. A first stage has a
    folder of its own in `runs`, which recipes with the same first stage share. Finished folds are
    not trained again. Several processes, on one host or many, may train different folds of one run.

    Args:
        recipe: what to train.
        folds: numbers from 1, such as "1-10", "3" or "1,4-6"; None: all.
        runs: folder of all runs.
        command: recorded as the command of this run; None: the command line of this program.

    Returns:
        The results of these folds.

    Raises:
        WrinkleError: the input is invalid.
        wrinkle.training.stop.Stopped: on Ctrl-C or SIGTERM.
    """
    root = Path(runs) / recipe.name
    store, protocol = open_faces(recipe.data), protocol_of(recipe.data)
    every = protocol.folds(store.columns)
    numbers = parse_folds(folds, len(every))
    chosen = [every[number] for number in numbers]
    # Without `cpu`, Accelerate does not connect several processes on CPUs.
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    check_folder(root, recipe, store.fingerprint)
    recipes = fold_recipes(recipe, store, chosen)
    accelerator.wait_for_everyone()
    if not (root / RECIPE_FILE).exists():  # try it before the run's folder is made
        try_out(recipes[0])
        if recipe.first is not None:
            try_out(fold_recipes(recipe.first, store, chosen[:1])[0])
    accelerator.wait_for_everyone()
    command, writer = command or shlex.join(sys.argv), folds or ""
    if accelerator.is_main_process:
        parts = [limited(fold, recipe.data.limit, recipe.training.seed) for fold in every]
        integrity = check_integrity(root, store, protocol, parts, writer)
        labels = check_labels(root, recipe, store, parts)
        write_folder(root, recipe, store.fingerprint, command, integrity, labels, writer)
    _train_first_stage(recipe, {n: root / every[n].name for n in numbers}, runs, command)
    for fold, own in zip(chosen, recipes, strict=True):
        if not (root / fold.name / RESULT_FILE).exists():
            first = None
            if recipe.first is not None:
                first = Path(runs) / recipe.first.name / fold.name / MODEL_FILE
            part = limited(fold, recipe.data.limit, recipe.training.seed)
            train_fold(own, store, part, root / fold.name, accelerator, first)
        if accelerator.is_main_process:
            write_table(root, [fold.name for fold in every], writer)
        accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        print((root / "results.md").read_text(encoding="utf-8"), end="")
        _say_where(root, chosen)
    return [read_result(root / fold.name) for fold in chosen]


def _say_where(root: Path, folds: list[Fold]) -> None:
    name = folds[0].name if len(folds) == 1 else "FOLD"
    models = "the model is" if len(folds) == 1 else f"the models of {len(folds)} folds are"
    say(f"{models} {root / name / MODEL_FILE}, the scores are in {root / 'results.md'}")


def _train_first_stage(
    recipe: Recipe, folders: dict[int, Path], runs: str | Path, command: str
) -> None:
    """Train the first stage for the folds (0-based number → folder) that are not started."""
    if recipe.first is None:
        return
    started = (RESULT_FILE, STATE_FILE)
    new = [n for n, f in folders.items() if not any((f / name).exists() for name in started)]
    if new:
        train(recipe.first, format_folds(new), runs, command)


def train_fold(
    recipe: Recipe,
    store: Store,
    fold: Fold,
    folder: Path,
    accelerator: Accelerator,
    first: Path | None = None,
) -> None:
    """Train one fold, then test the saved model and write predictions.parquet and result.json.

    Args:
        recipe: what to train.
        store: the faces.
        fold: with the rows that the run uses.
        folder: of the fold.
        accelerator: of this process.
        first: model file of the recipe's first stage, if it has one.

    Raises:
        WrinkleError: training chooses the best epoch, but the fold has no validation part.
    """
    if recipe.training.choose == "best" and not len(fold.validation):
        raise WrinkleError(
            f"training.choose is 'best', but fold {fold.name} of {recipe.data.split} has no "
            "validation part; choices: 'last'"
        )
    Trainer(recipe, store, fold, folder, accelerator, first).train()
    accelerator.free_memory()  # it keeps every network and optimiser that it has prepared
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        result = score_fold(recipe, store, fold, folder, accelerator.device)
        replace_file(folder / RESULT_FILE, json.dumps(asdict(result), indent=1).encode())
        for file in (folder / STATE_FILE, folder / EXTRAS_FILE, *teacher_files(folder)):
            file.unlink(missing_ok=True)
    accelerator.wait_for_everyone()


def parse_folds(text: str | None, count: int) -> list[int]:
    """Parse fold numbers.

    Args:
        text: numbers and ranges from 1, such as "1-10", "3" or "1,4-6"; None: all.
        count: number of folds.

    Returns:
        Numbers from 0, distinct and ascending.

    Raises:
        WrinkleError: the text is invalid, or a number is out of range.
    """
    if text is None:
        return list(range(count))
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.strip().isdecimal() or (dash and not last.strip().isdecimal()):
            raise WrinkleError(f"folds {text!r}: write numbers and ranges such as 1-10 or 1,4-6")
        low, high = int(first), int(last) if dash else int(first)
        if not 1 <= low <= high <= count:
            raise WrinkleError(f"folds {text!r}: {part.strip()} is not within 1-{count}")
        numbers.update(range(low - 1, high))
    return sorted(numbers)


def format_folds(numbers: list[int]) -> str:
    """Format fold numbers, 0-based and ascending, so that `parse_folds` reads them."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ",".join(f"{a + 1}-{b + 1}" for a, b in zip(starts, ends, strict=True))
