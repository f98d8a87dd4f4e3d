"""Evaluate a model, or anybody's predictions, on the faces of a store."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from wrinkle.console import progress
from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.prediction_files import SUFFIXES, read_predictions
from wrinkle.evaluation.predictions import Predictions
from wrinkle.evaluation.range_scores import RangeScore, score_ranges
from wrinkle.evaluation.scores import Score, score
from wrinkle.faces.input import InputSpec
from wrinkle.inference.conformal import Calibration
from wrinkle.inference.device import choose_device
from wrinkle.inference.engines import load_network
from wrinkle.inference.predict_store import predict_store
from wrinkle.inference.provenance import Split, learned, own_split, split_rows
from wrinkle.models import AgeModel
from wrinkle.models.packaged import model_file
from wrinkle.protocols import get_protocol


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        predictions: N faces with their labels, predicted ages and intervals; for a model also its
            distributions and the ages by its further classifiers.
        people: whether the protocol keeps people apart, in words; None where all faces are taken.
        trained_on: how many of the faces the model was trained on, as far as its file says.
        classifier: name of the classifier that gives the model's age; None for a file of
            predictions.
    """

    predictions: Predictions
    people: str | None = None
    trained_on: int = 0
    classifier: str | None = None

    @cached_property
    def scores(self) -> list[Score]:
        """Over all faces of known age, then by age decade, gender and group, with 95 % intervals.

        Empty where no age is known.
        """
        return score(self.predictions)

    @cached_property
    def range_scores(self) -> list[RangeScore]:
        """Over all faces of which only a range is known, then by range, gender and group."""
        return score_ranges(self.predictions)

    @property
    def classifiers(self) -> dict[str, np.ndarray]:
        """name → (N,) years: the ages by each classifier of a model, its own first."""
        if self.classifier is None:
            return {}
        return {self.classifier: self.predictions.predicted, **self.predictions.classifiers}


def evaluate(
    system: str | Path,
    store: str | Path | Store,
    *,
    split: Split = "all",
    protocol: str | None = None,
    fold: str | None = None,
    device: str | None = None,
    batch: int = 64,
    workers: int = 1,
) -> Evaluation:
    """Evaluate a system on the faces of a store.

    Args:
        system: a packaged model's name, a model file (an exported one, .onnx or .xml, too), or a
            CSV or Parquet file of predictions
            (`wrinkle.evaluation.prediction_files`).
        store: a file made by `wrinkle prepare`, or an opened one.
        split: which part of the fold; "all" for every face.
        protocol: by default the one that the model was trained with.
        fold: by default the model's own.
        device: "cpu", "cuda", "cuda:1", …; the GPU if there is one when None.
        batch: faces per step.
        workers: processes that decode faces; 0 for none.

    Returns:
        Predictions and scores; ages in years.

    Raises:
        WrinkleError: a file is missing, damaged or does not fit the store, or there is no such
            part, fold, protocol or device.

    Example:
        >>> evaluation = evaluate("default", "utkface.arrow", split="test")  # doctest: +SKIP
        >>> evaluation.scores[0].mae  # doctest: +SKIP
        Estimate(value=4.56, low=4.40, high=4.73)
    """
    faces = store if isinstance(store, Store) else Store(store)
    if Path(system).suffix.lower() in SUFFIXES:
        return _from_file(Path(system), faces, split, protocol, fold)
    model, header = load_network(model_file(system), choose_device(device))
    provenance = header["provenance"]
    rows = split_rows(faces, split, protocol, fold, provenance)
    predictions = predict(str(system), model, header, faces, rows, device, batch, workers)
    people = None
    if split != "all":
        people = get_protocol(protocol or str(own_split(provenance, faces)[0])).people
    return Evaluation(
        predictions,
        people,
        int(np.isin(rows, learned(provenance, faces, ["train"])).sum()),
        model.final_name,
    )


def predict(
    name: str,
    model: AgeModel,
    header: dict[str, Any],
    store: Store,
    rows: np.ndarray,
    device: str | None = None,
    batch: int = 64,
    workers: int = 1,
) -> Predictions:
    """A model's predictions in full for rows of a store.

    Args:
        name: of the system.
        model: in evaluation mode.
        header: of its file. The intervals are those of its calibration, if it has one.
        rows: (N,) row indices.
        device, batch, workers: as for `evaluate`.
    """
    where = choose_device(device)
    with progress(what=name, unit="face", total=len(rows)) as bar:
        distributions, every = predict_store(
            model.to(where),
            InputSpec.from_header(header["input"]),
            store,
            rows,
            where,
            batch,
            workers=workers,
            every_classifier=True,
            between=lambda: bar.update(min(batch, len(rows) - bar.n)),
        )
    ages = model.ages.cpu().numpy().astype(np.float64)
    own = distributions[:, 0]
    calibration = Calibration.from_header(header)
    return Predictions(
        name,
        store.columns.take(rows),
        every[:, 0],
        None if calibration is None else calibration.interval(own, ages, predicted=every[:, 0]),
        dict(zip(list(model.classifiers)[1:], every.T[1:], strict=True)),
        own,
        ages,
    )


def _from_file(
    path: Path, store: Store, split: Split, protocol: str | None, fold: str | None
) -> Evaluation:
    predictions = read_predictions(path, store.columns, store.dropped)
    if split == "all":
        return Evaluation(predictions)
    names = store.columns["name"].take(split_rows(store, split, protocol, fold)).to_pylist()
    assert protocol is not None  # or `split_rows` raises
    inside = np.isin(predictions.rows["name"].to_pylist(), names)
    if not inside.any():
        raise WrinkleError(f"{path} holds no picture of the {split} part")
    return Evaluation(predictions.take(np.flatnonzero(inside)), get_protocol(protocol).people)
