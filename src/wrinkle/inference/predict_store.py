"""A model's distributions for rows of a store: what validation, test and `evaluate` share."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from wrinkle.datasets.loader import Draw, Faces, create_loader, read_batches
from wrinkle.datasets.store import Store
from wrinkle.faces.align import face_input
from wrinkle.models import AgeModel


@torch.inference_mode()
def predict_store(
    model: AgeModel,
    header: dict[str, Any],
    store: Store,
    indices: np.ndarray,
    device: str | torch.device = "cpu",
    batch: int = 64,
    mirror_average: bool = True,
    workers: int = 0,
    every_classifier: bool = False,
    between: Callable[[], None] = lambda: None,
    patches: np.ndarray | None = None,
) -> np.ndarray:
    """Distribution over the model's ages for each row of `indices`, (N, A) float32, in their order.

    Args:
        model: in evaluation mode, on `device`.
        header: of its file; "input" says how it wants its faces.
        mirror_average: mean of the picture's and its mirror's distributions.
        every_classifier: (N, K, A), of all of `model.classifiers`.
        between: called after every batch; what it raises ends the work in order.
        patches: of all the store's rows, as `Faces` takes them; looked for where not given.
    """
    device = torch.device(device)
    view = header["input"]
    faces = Faces(store, view["size"], view["zoom"], patches=patches)
    starts = range(0, len(indices), batch)
    draws = [[Draw(0, int(row), 0) for row in indices[start : start + batch]] for start in starts]
    rows = [np.zeros((0, len(model.classifiers), len(model.ages)), np.float32)]
    loader = create_loader(faces, draws, workers if len(draws) > 1 else 0, device)
    for item in read_batches(loader, device):
        images = face_input(item.crop, item.matrix, view["size"], view["mean"], view["std"])
        known = None if patches is None else item.patches
        distributions = model.predict_all(images, item.key_points, mirror_average, known)
        rows.append(distributions.cpu().numpy())
        between()
    every = np.concatenate(rows)
    return every if every_classifier else every[:, 0]
