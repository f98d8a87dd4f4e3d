"""Calibration and test of a fold's model after training."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wrinkle.datasets.joined import JoinedStore
from wrinkle.datasets.rows import distance_to_range
from wrinkle.datasets.store import Store
from wrinkle.evaluation.metrics import cumulative_score, mean_absolute_error
from wrinkle.evaluation.prediction_files import write_predictions
from wrinkle.evaluation.predictions import Predictions
from wrinkle.evaluation.range_scores import in_range, with_neighbours
from wrinkle.evaluation.scores import CUMULATIVE, subsets
from wrinkle.faces.input import InputSpec
from wrinkle.inference.conformal import LEAST_FACES, balanced_weights, calibrate
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
            _weights(store, exact),
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


def _weights(store: Store, rows: np.ndarray) -> np.ndarray | None:
    """Weights of rows in the calibration: of several stores, and of each person, the same."""
    if not isinstance(store, JoinedStore):
        return None
    some = store.columns.take(rows)
    return balanced_weights(some["store"].to_pylist(), some["person"].to_pylist())


def _result(
    fold: Fold, tested: Predictions, provenance: dict[str, Any], classifiers: dict[str, np.ndarray]
) -> Result:
    """The fold's scores; those of single classifiers only if there are several."""
    exact = ~np.isnan(tested.actual)
    several = classifiers if len(classifiers) > 1 and exact.any() else {}
    return Result(
        fold=fold.name,
        **_scores(tested),
        validation_mae=provenance["scores"].get("validation_mae"),
        epochs=provenance["epochs"],
        classifiers={
            name: float(mean_absolute_error(ages[exact], tested.actual[exact]))
            for name, ages in several.items()
        },
        stores={
            store: _scores(tested.take(np.flatnonzero(inside)))
            for column, store, inside in subsets(tested)
            if column == "store"
        },
    )


def _scores(tested: Predictions) -> dict[str, Any]:
    """The fields of `Result` that are computed from predictions."""
    exact, ranged = tested.exact(), tested.ranged()
    scores: dict[str, Any] = {"n": len(exact.predicted), "ranges": len(ranged.predicted)}
    scores |= {"mae": None, "cs5": None}
    if scores["n"]:
        scores["mae"] = float(mean_absolute_error(exact.predicted, exact.actual))
        scores["cs5"] = float(cumulative_score(exact.predicted, exact.actual, CUMULATIVE))
    if scores["ranges"]:
        spans, wide = ranged.ranges, with_neighbours(ranged)
        scores["inside"] = float(in_range(ranged.predicted, spans).mean())
        scores["near"] = float(in_range(ranged.predicted, wide).mean())
        scores["distance"] = float(distance_to_range(ranged.predicted, spans).mean())
    return scores
