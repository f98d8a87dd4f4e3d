"""Figures that explain a model's prediction for a face, or its patches in many faces."""

from collections.abc import Mapping
from os import PathLike

import numpy as np
import torch
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from wrinkle.datasets.store import Store
from wrinkle.errors import ImageError, WrinkleError
from wrinkle.faces.decode import decode
from wrinkle.faces.detectors import Detection
from wrinkle.faces.input import InputSpec
from wrinkle.faces.pictures import Picture, printable
from wrinkle.models.base import AgeModel, Prediction
from wrinkle.serving.estimator import AgeEstimator
from wrinkle.serving.explainers import explain_face, explain_many


@torch.inference_mode()
def explain(estimator: AgeEstimator, picture: Picture) -> Figure:
    """Explain the prediction for the most prominent face of a picture.

    Any model: the network's input with the key points, what covering each part of the face changes,
    and the distribution over ages. DHAA: the source points of each region on the face, the aligned
    region with its target points, and the distribution of every classifier. ADPF: the ranked
    attention maps on the face, the patches that they select in order, and the distribution. The
    title has the age and its interval. Distributions are averaged with the mirror image's, as in
    prediction.

    Args:
        estimator: with the model and the detector.
        picture: the photograph.

    Returns:
        The figure.

    Raises:
        ImageError: the picture cannot be read or has no face.
    """
    image = decode(picture)
    faces = estimator.predict(image)[0]
    if not faces:
        name = printable(str(picture)) if isinstance(picture, str | PathLike) else "the picture"
        raise ImageError(f"{name}: no face found: nothing to explain")
    face = Detection(faces[0].box, faces[0].score, faces[0].key_points)
    pixels, key_points = estimator.inputs([(image, face)])
    found = estimator.model.predict_all(pixels, key_points)
    prediction = Prediction(*(part[0].float().cpu() for part in found))
    figure = explain_face(estimator.model, pixels.cpu(), key_points.cpu(), prediction)
    low, high = faces[0].interval
    figure.suptitle(f"{faces[0].age:.0f} years; 90 % interval: {low:.0f} to {high:.0f} years")
    return figure


def gallery(estimators: Mapping[str, AgeEstimator], store: Store, count: int) -> Figure:
    """Draw the attention maps and patches of networks for faces of a store, side by side.

    Args:
        estimators: name → estimator with the model; one is drawn without its name.
        store: the faces.
        count: how many; they are taken at equal distances in the order of age.

    Returns:
        The figure.

    Raises:
        WrinkleError: a model has no patches, or the store has fewer than `count` faces.
    """
    if not 1 <= count <= len(store):
        raise WrinkleError(f"{count} faces of {len(store)} in {store.path}: give 1 to {len(store)}")
    order = np.argsort(store.ages, kind="stable")
    rows = order[((np.arange(count) + 0.5) * len(store) / count).astype(int)]
    figure = Figure(gallery_size(count * len(estimators)), layout="constrained")
    parts = figure.subfigures(1, len(estimators), squeeze=False)[0]
    for part, (name, estimator) in zip(parts, estimators.items(), strict=True):
        draw_store_rows(estimator.model, estimator.spec, store, rows, part)
        if len(estimators) > 1:
            part.suptitle(name)
    return figure


def gallery_size(columns: int) -> tuple[float, float]:
    """Return the size in inches of a figure of so many faces beside each other, one row high."""
    return 1.5 * columns + 0.4, 1.8


@torch.inference_mode()
def draw_store_rows(
    model: AgeModel, spec: InputSpec, store: Store, rows: np.ndarray, figure: Figure | SubFigure
) -> None:
    """Draw a network's patches for rows of a store; arguments as in `gallery` and `store_inputs`.

    Raises:
        WrinkleError: the model has no patches.
    """
    pixels, points = store_inputs(store, rows, spec)
    device = model.ages.device
    found = model.predict(pixels.to(device), points.to(device))
    explain_many(model, pixels, store.labels(rows), found.age.cpu(), figure)


def store_inputs(store: Store, rows: np.ndarray, spec: InputSpec) -> tuple[Tensor, Tensor]:
    """Return a network's inputs for rows of a store.

    Args:
        store: the faces.
        rows: (B,).
        spec: the network's input.

    Returns:
        Pixels (B, 3, S, S), normalised, and key points (B, 5, 2) in [−1, 1].
    """
    crops = np.stack([store.image(int(row)) for row in rows])
    return spec(crops, store.key_points[rows])
