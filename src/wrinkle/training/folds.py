"""Train any folds of a recipe, test each, and gather one table."""

import csv
import io
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.metrics import cumulative_score, mean_absolute_error
from wrinkle.evaluation.prediction_files import write_predictions
from wrinkle.evaluation.predictions import Predictions
from wrinkle.faces.input import InputSpec
from wrinkle.files import replace_file
from wrinkle.inference.conformal import LEAST_FACES, calibrate
from wrinkle.inference.predict_store import predict_store
from wrinkle.models.file import PLUGINS_FOLDER, amend, load_model
from wrinkle.protocols import Fold, get_protocol
from wrinkle.protocols.fold import limited
from wrinkle.runs.folder import (
    MODEL_FILE,
    PREDICTIONS_FILE,
    RECIPE_FILE,
    RESULT_FILE,
    RUN_FILE,
    STATE_FILE,
    Result,
    read_note,
    read_result,
)
from wrinkle.runs.recipe import Recipe, load_recipe
from wrinkle.training.extras import EXTRAS_FILE, read_extras
from wrinkle.training.integrity import check_integrity, check_start
from wrinkle.training.loop import Trainer
from wrinkle.training.memory import keep_freed_memory
from wrinkle.training.network import try_out


def train(
    recipe: Recipe, folds: str | None = None, runs: str | Path = "runs", command: str | None = None
) -> list[Result]:
    """Train the folds ("1-10", "3", "1,4-6"; None: all) and test each, going on where they stand.

    Everything goes to `runs/<recipe name>/`: the recipe, a folder per fold, and results.csv and
    results.md over the folds that are done, which is also printed. A first stage has a folder of
    its own beside it, which other recipes with the same first stage share. What is finished is not
    repeated. Several processes, on one host or many, may train different folds in one folder.
    Returns the results of the folds asked for.

    Raises WrinkleError, one line; `wrinkle.training.stop.Stopped` on Ctrl-C or SIGTERM.
    """
    root = Path(runs) / recipe.name
    store = Store(recipe.data.store)
    protocol = get_protocol(recipe.data.protocol)
    every = protocol.folds(store.columns)
    numbers = parse_folds(folds, len(every))
    chosen = [every[number] for number in numbers]
    # Told so, Accelerate joins several processes on CPUs; else each would train for itself.
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    check_folder(root, recipe, store.fingerprint)
    check_start(recipe.init, store, chosen)
    accelerator.wait_for_everyone()
    if not (root / RECIPE_FILE).exists():
        for stage in (recipe, recipe.first):
            if stage is not None:
                try_out(stage)  # what does not fit together leaves no folder behind
    accelerator.wait_for_everyone()
    command = command or shlex.join(sys.argv)
    if accelerator.is_main_process:
        parts, writer = (
            [limited(fold, recipe.data.limit, recipe.training.seed) for fold in every],
            folds or "",
        )
        integrity = check_integrity(root, store, protocol, parts, writer)
        write_folder(root, recipe, store.fingerprint, command, integrity, writer)
    if recipe.first is not None:
        begun = [
            any((root / f.name / n).exists() for n in (RESULT_FILE, STATE_FILE)) for f in every
        ]
        fresh = [n for n in numbers if not begun[n]]
        if fresh:
            train(recipe.first, format_folds(fresh), runs, command)
    for fold in chosen:
        if not (root / fold.name / RESULT_FILE).exists():
            first = None
            if recipe.first is not None:
                first = Path(runs) / recipe.first.name / fold.name / MODEL_FILE
            part = limited(fold, recipe.data.limit, recipe.training.seed)
            train_fold(recipe, store, part, root / fold.name, accelerator, first)
        if accelerator.is_main_process:
            write_table(root, [fold.name for fold in every], folds or "")
        accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        print((root / "results.md").read_text(encoding="utf-8"), end="")
    return [read_result(root / fold.name) for fold in chosen]


def train_fold(
    recipe: Recipe,
    store: Store,
    fold: Fold,
    folder: Path,
    accelerator: Accelerator,
    first: Path | None = None,
) -> None:
    """Train one fold, then test the kept model and write predictions.parquet and result.json.

    first: model file of the recipe's first stage, where it has one.
    """
    if recipe.training.choose == "best" and not len(fold.validation):
        raise WrinkleError(
            f"training.choose is 'best', but fold {fold.name} of {recipe.data.protocol} has no "
            "validation part; choices: 'last'"
        )
    Trainer(recipe, store, fold, folder, accelerator, first).train()
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        result = test_fold(recipe, store, fold, folder, accelerator)
        replace_file(folder / RESULT_FILE, json.dumps(asdict(result), indent=1).encode())
        for file in (STATE_FILE, EXTRAS_FILE):
            (folder / file).unlink(missing_ok=True)
    accelerator.wait_for_everyone()


def test_fold(
    recipe: Recipe, store: Store, fold: Fold, folder: Path, accelerator: Accelerator
) -> Result:
    """Calibrate the model file in `folder` on the fold's validation part, test it on the test part;
    writes predictions.parquet."""
    model, header = load_model(folder / MODEL_FILE, accelerator.device)
    training = recipe.training
    predict = partial(
        predict_store,
        model,
        InputSpec.from_header(header["input"]),
        store,
        device=accelerator.device,
        batch=training.batch,
        mirror_average=training.mirror_average,
        workers=training.workers,
    )
    distributions, every = predict(fold.test, every_classifier=True)
    model_ages = model.ages.cpu().numpy()
    interval = None
    if len(fold.validation) >= LEAST_FACES:
        known = (folder / EXTRAS_FILE).exists()
        extras = read_extras(folder, len(store)) if known else None
        validated = predict(fold.validation, extras=extras)
        calibration = calibrate(
            validated.distribution,
            model_ages,
            store.ages[fold.validation],
            f"validation part of {recipe.data.protocol}, fold {fold.name}",
            validated.age,
        )
        amend(folder / MODEL_FILE, folder / MODEL_FILE, calibration=calibration.to_header())
        interval = calibration.interval(distributions[:, 0], model_ages, predicted=every[:, 0])
    names = list(model.classifiers)
    tested = Predictions(
        recipe.name,
        store.columns.take(fold.test),
        every[:, 0],
        interval,
        dict(zip(names[1:], every.T[1:], strict=True)),
        distributions[:, 0],
        model_ages,
    )
    write_predictions(folder / PREDICTIONS_FILE, tested)
    actual = tested.actual
    provenance = header["provenance"]
    return Result(
        fold=fold.name,
        n=len(actual),
        mae=float(mean_absolute_error(tested.predicted, actual)),
        cs5=float(cumulative_score(tested.predicted, actual, 5)),
        validation_mae=provenance["scores"].get("validation_mae"),
        epochs=provenance["epochs"],
        classifiers={
            name: float(mean_absolute_error(guesses, actual))
            for name, guesses in zip(names, every.T, strict=True)
            if len(names) > 1
        },
    )


def parse_folds(text: str | None, count: int) -> list[int]:
    """0-based fold numbers of "1-10", "3" or "1,4-6", each once and ascending; None: all."""
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
    """0-based ascending fold numbers as `parse_folds` reads them, neighbours as a range."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ",".join(f"{a + 1}-{b + 1}" for a, b in zip(starts, ends, strict=True))


def check_folder(root: Path, recipe: Recipe, data: str) -> None:
    """WrinkleError when `root` holds a run of another recipe or of other data."""
    if not (root / RECIPE_FILE).exists():
        return
    old = load_recipe(root / RECIPE_FILE).resolved()
    new = recipe.resolved()
    differences = [
        f"{field} is {old.get(field)!r} there, {new.get(field)!r} here"
        for field in dict.fromkeys([*new, *old])
        if old.get(field) != new.get(field) and field.removeprefix("first.") not in Recipe.INERT
    ]
    if read_note(root)["data"] != data:
        differences.append(f"{recipe.data.store} holds other pictures or labels than then")
    if differences:
        raise WrinkleError(
            f"{root} holds a run of another recipe ({'; '.join(differences)}): "
            "give this one a name of its own (name=...) or remove that folder"
        )


def write_folder(
    root: Path, recipe: Recipe, data: str, command: str, integrity: str, writer: str
) -> None:
    note = {"command": command, "data": data, "integrity": integrity}
    replace_file(root / RUN_FILE, json.dumps(note).encode(), writer)
    copies = tuple(f"{PLUGINS_FOLDER}/{Path(file).name}" for file in recipe.plugins)
    for file, copy in zip(recipe.plugins, copies, strict=True):
        replace_file(root / copy, Path(file).read_bytes(), writer)
    recipe = recipe.model_copy(update={"plugins": copies})
    replace_file(root / RECIPE_FILE, f"# {command}\n{recipe.to_yaml()}".encode(), writer)


def write_table(root: Path, names: list[str], writer: str) -> None:
    """results.csv and results.md over the folds in `names` that are done, whoever did them."""
    done = [name for name in names if (root / name / RESULT_FILE).exists()]
    results = [read_result(root / name) for name in done]
    fields = [name for name in Result.__dataclass_fields__ if name != "classifiers"]
    rows = [[getattr(result, name) for name in fields] for result in results]
    replace_file(root / "results.csv", to_csv([fields, *rows]), writer)
    text = format_table(results, len(names)) + format_classifiers(results)
    text += f"\n{read_note(root)['integrity']}\n"
    replace_file(root / "results.md", text.encode(), writer)
    if done != [name for name in names if (root / name / RESULT_FILE).exists()]:
        write_table(root, names, writer)  # others have ended meanwhile


def format_table(results: list[Result], folds: int) -> str:
    """Markdown: a line per fold, mean ± standard deviation over folds, and all pictures at once."""
    lines = ["| fold | pictures | MAE | CS(5) % |", "|---|---:|---:|---:|"]
    lines += [f"| {r.fold} | {r.n} | {r.mae:.3f} | {100 * r.cs5:.1f} |" for r in results]
    if len(results) > 1:
        n = np.array([r.n for r in results])
        mae = np.array([r.mae for r in results])
        cs5 = np.array([100 * r.cs5 for r in results])
        lines.append(
            f"| mean ± deviation of {len(results)} of {folds} folds | {n.mean():.1f} "
            f"| {mae.mean():.3f} ± {mae.std(ddof=1):.3f} "
            f"| {cs5.mean():.1f} ± {cs5.std(ddof=1):.1f} |"
        )
        share = n / n.sum()
        lines.append(f"| all pictures | {n.sum()} | {mae @ share:.3f} | {cs5 @ share:.1f} |")
    return "\n".join(lines) + "\n"


def format_classifiers(results: list[Result]) -> str:
    """Markdown: the MAE of every classifier of the model, mean ± deviation over folds."""
    if not results or not results[0].classifiers:
        return ""
    lines = ["", "| classifier | MAE |", "|---|---:|"]
    for name in results[0].classifiers:
        mae = np.array([result.classifiers[name] for result in results])
        spread = f" ± {mae.std(ddof=1):.3f}" if len(mae) > 1 else ""
        lines.append(f"| {name} | {mae.mean():.3f}{spread} |")
    return "\n".join(lines) + "\n"


def to_csv(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
