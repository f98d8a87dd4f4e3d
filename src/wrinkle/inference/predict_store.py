"""A model's predictions for rows of a store, for validation, test and `evaluate`."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from wrinkle.datasets.loader import Draw, Faces, create_loader, read_batches
from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.faces.input import InputSpec
from wrinkle.models import AgeModel


class StorePrediction(NamedTuple):
    """Predictions for N rows, in their order.

    Attributes:
        distribution: (N, A) float32, or (N, K, A) for all K classifiers; sums to 1 over A.
        age: (N,) or (N, K) float32, years.
    """

    distribution: np.ndarray
    age: np.ndarray


@torch.inference_mode()
def predict_store(
    model: AgeModel,
    spec: InputSpec,
    store: Store,
    indices: np.ndarray,
    device: str | torch.device = "cpu",
    batch: int = 64,
    mirror_average: bool | None = None,
    workers: int = 0,
    every_classifier: bool = False,
    between: Callable[[], object] = lambda: None,
    extras: dict[str, np.ndarray] | None = None,
) -> StorePrediction:
    """Predict for rows of a store.

    Args:
        model: in evaluation mode, on `device`.
        spec: the model's input.
        store: the faces.
        indices: (N,) rows.
        device: where the model is.
        batch: faces in a batch.
        mirror_average: average each face's prediction with that for its mirror image; None: as the
            model does.
        every_classifier: predict with all of `model.classifiers`, the final one first.
        workers: processes that decode faces.
        between: called after every batch; it may raise an exception to stop.
        extras: name → (rows of the store, 2, …), as `Faces` takes them; computed if None.

    Returns:
        The predictions.
    """
    if batch < 1:
        raise WrinkleError(f"batch is {batch}: give 1 or more")
    device = torch.device(device)
    faces = Faces(store, spec, extras=extras)
    starts = range(0, len(indices), batch)
    draws = [[Draw(0, int(row), 0) for row in indices[start : start + batch]] for start in starts]
    k, a = len(model.classifiers), len(model.ages)
    distributions, ages = [np.zeros((0, k, a), np.float32)], [np.zeros((0, k), np.float32)]
    loader = create_loader(faces, draws, workers if len(draws) > 1 else 0, device)
    for item in read_batches(loader, device):
        images = spec.images(item.crop, item.matrix)
        known = None if extras is None else item.extras
        found = model.predict_all(images, item.key_points, mirror_average, known)
        distributions.append(found.distribution.cpu().numpy())
        ages.append(found.age.cpu().numpy())
        between()
    every = StorePrediction(np.concatenate(distributions), np.concatenate(ages))
    return every if every_classifier else StorePrediction(*(part[:, 0] for part in every))
