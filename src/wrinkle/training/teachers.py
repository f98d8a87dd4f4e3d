"""The distributions of trained models, the teachers, for the training faces."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wrinkle.console import progress
from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.faces.input import InputSpec
from wrinkle.files import read_tensors, write_tensors
from wrinkle.inference.predict_store import predict_store
from wrinkle.inference.prepared import prepare_for_inference
from wrinkle.models.file import load_model
from wrinkle.models.packaged import model_file
from wrinkle.runs.recipe import Recipe

TEACHER_FILE = "teacher-{}.safetensors"
ROWS = 1024
"""Faces between two updates of the progress bar."""


def ensure_teachers(
    folder: Path,
    recipe: Recipe,
    store: Store,
    rows: np.ndarray,
    device: torch.device,
    between: Callable[[], None],
) -> None:
    """Write each teacher's distributions to the fold's folder, unless they are there.

    Computed without augmentation, and averaged with the mirror image.

    Args:
        folder: of the fold.
        recipe: with the teachers.
        store: the faces.
        rows: (N,).
        device: where the teachers run.
        between: called after every batch; it may raise an exception to stop.

    Raises:
        WrinkleError: there is no such model.
    """
    starts = range(0, len(rows), ROWS)
    for number, teacher in enumerate(recipe.teachers):
        file = folder / TEACHER_FILE.format(number)
        if file.exists():
            continue
        model, header = load_model(model_file(teacher), device)
        model = prepare_for_inference(model, device)
        spec, workers = InputSpec.from_header(header["input"]), recipe.training.workers
        parts = []
        with progress(what=f"teacher {teacher}", unit="img", total=len(rows)) as bar:
            for part in (rows[start : start + ROWS] for start in starts):
                found = predict_store(
                    model,
                    spec,
                    store,
                    part,
                    device,
                    mirror_average=True,
                    workers=workers,
                    between=between,
                )
                parts.append(torch.from_numpy(found.distribution))
                bar.update(len(part))
        tensors = {"rows": torch.from_numpy(rows), "teacher": torch.cat(parts)}
        write_tensors(file, tensors, {"kind": "teacher"})


def check_teachers(recipe: Recipe, ages: Tensor) -> None:
    """Check a recipe's teachers before anything is trained.

    Args:
        recipe: with the teachers.
        ages: (A,) years, those of the network that learns from them.

    Raises:
        WrinkleError: there is no such model, or its ages are others.
    """
    for teacher in recipe.teachers:
        theirs, ours = load_model(model_file(teacher))[0].ages, ages.cpu()
        if not torch.equal(theirs, ours):
            raise WrinkleError(
                f"teacher {teacher} knows the ages {theirs[0]:g} to {theirs[-1]:g}, the model "
                f"{ours[0]:g} to {ours[-1]:g}: they must be the same"
            )


def read_teachers(folder: Path, count: int) -> np.ndarray:
    """Read the mean of what `ensure_teachers` has written.

    Args:
        folder: of the fold.
        count: number of rows of the store.

    Returns:
        (count, A) float32; NaN in other rows.

    Raises:
        WrinkleError: a file is damaged.
    """
    found = [read_tensors(file, "teacher")[0] for file in teacher_files(folder)]
    mean = torch.stack([each["teacher"] for each in found]).mean(0).numpy()
    every = np.full((count, mean.shape[1]), np.nan, np.float32)
    every[found[0]["rows"].numpy()] = mean
    return every


def teacher_files(folder: Path) -> list[Path]:
    """Return the files that `ensure_teachers` has written."""
    return sorted(folder.glob(TEACHER_FILE.format("*")))
