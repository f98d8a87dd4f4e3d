"""Calibration and test of a fold's model after training."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wrinkle.datasets.store import Store
from wrinkle.evaluation.metrics import cumulative_score, mean_absolute_error
from wrinkle.evaluation.prediction_files import write_predictions
from wrinkle.evaluation.predictions import Predictions
from wrinkle.faces.input import InputSpec
from wrinkle.inference.conformal import LEAST_FACES, calibrate
from wrinkle.inference.predict_store import predict_store
from wrinkle.models.file import amend, load_model
from wrinkle.protocols import Fold
from wrinkle.runs.folder import MODEL_FILE, PREDICTIONS_FILE, Result
from wrinkle.runs.recipe import Recipe
from wrinkle.training.extras import EXTRAS_FILE, read_extras


def score_fold(
    recipe: Recipe, store: Store, fold: Fold, folder: Path, device: torch.device
) -> Result:
    """Calibrate a fold's model on the validation part and test it on the test part.

    The calibration is written to the model file, the predictions to predictions.parquet.

    Args:
        recipe: of the run.
        store: the faces.
        fold: with the rows that the run uses.
        folder: of the fold, with its model file.
        device: where to predict.

    Returns:
        The scores.
    """
    model, header = load_model(folder / MODEL_FILE, device)
    training = recipe.training
    predict = partial(
        predict_store,
        model,
        InputSpec.from_header(header["input"]),
        store,
        device=device,
        batch=training.batch,
        mirror_average=training.mirror_average,
        workers=training.workers,
    )
    distributions, every = predict(fold.test, every_classifier=True)
    model_ages = model.ages.cpu().numpy()
    interval = None
    exact = fold.validation[store.exact[fold.validation]]
    if len(exact) >= LEAST_FACES:
        known = (folder / EXTRAS_FILE).exists()
        extras = read_extras(folder, len(store)) if known else None
        validated = predict(exact, extras=extras)
        calibration = calibrate(
            validated.distribution,
            model_ages,
            store.ages[exact],
            f"validation part of {recipe.data.split}, fold {fold.name}",
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
    return _result(fold, tested, header["provenance"], dict(zip(names, every.T, strict=True)))


def _result(
    fold: Fold, tested: Predictions, provenance: dict[str, Any], classifiers: dict[str, np.ndarray]
) -> Result:
    """The fold's scores; those of single classifiers only if there are several."""
    actual = tested.actual
    return Result(
        fold=fold.name,
        n=len(actual),
        mae=float(mean_absolute_error(tested.predicted, actual)),
        cs5=float(cumulative_score(tested.predicted, actual, 5)),
        validation_mae=provenance["scores"].get("validation_mae"),
        epochs=provenance["epochs"],
        classifiers={
            name: float(mean_absolute_error(ages, actual))
            for name, ages in classifiers.items()
            if len(classifiers) > 1
        },
    )
