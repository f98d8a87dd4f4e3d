"""A figure of how a model comes to one face's age: what it looked at, and what each part says."""

from os import PathLike
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from wrinkle.datasets.loader import Draw, Faces
from wrinkle.datasets.store import Store
from wrinkle.errors import ImageError, WrinkleError
from wrinkle.faces.align import face_input
from wrinkle.faces.decode import decode, printable
from wrinkle.models.adpf import AttentionNet, FusionNet
from wrinkle.models.base import AgeModel
from wrinkle.models.dhaa import DHAA
from wrinkle.serving.drawing import SOURCE, draw_distributions, mark, show, visible
from wrinkle.serving.estimator import AgeEstimator, Picture
from wrinkle.serving.explain_adpf import draw_adpf, draw_gallery
from wrinkle.serving.explain_dhaa import draw_dhaa


@torch.inference_mode()
def explain(estimator: AgeEstimator, picture: Picture) -> Figure:
    """The most prominent face of a picture under the estimator's model.

    Any model: the face as the network sees it with its key points, and the distribution over ages.
    DHAA: the source points of each region on the face, the region as aligned with its target
    points, and the distribution of every classifier. ADPF: the ranked attention maps on the face,
    the patches they cut out in order, and the distribution. Distributions are averaged with the
    mirror picture's, as in prediction.

    Raises:
        ImageError: the picture cannot be read, or shows no face.
    """
    image = decode(picture)
    faces = estimator.detector([image])[0]
    if not faces:
        name = printable(str(picture)) if isinstance(picture, str | PathLike) else "the picture"
        raise ImageError(f"{name}: no face found: nothing to explain")
    pixels, key_points = estimator.inputs([(image, faces[0])])
    model = estimator.model
    distributions = model.predict_all(pixels, key_points)[0].float().cpu()
    pixels, key_points = pixels.cpu(), key_points.cpu()
    if isinstance(model, DHAA):
        return draw_dhaa(model, pixels, key_points, distributions)
    if isinstance(model, FusionNet | AttentionNet):
        return draw_adpf(model, pixels, key_points, distributions)
    return draw_plain(model, pixels, key_points, distributions)


def draw_plain(
    model: AgeModel, pixels: Tensor, key_points: Tensor, distributions: Tensor
) -> Figure:
    """The face with its key points, and the distribution over ages.

    pixels: (1, 3, S, S), the network's input. key_points: (1, 5, 2) in [−1, 1]. distributions:
    (K, A), of all the model's classifiers.
    """
    figure = Figure((9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.7))
    show(left, visible(pixels, model)[0], "what the network sees")
    mark(left, key_points[0], pixels.shape[-1], SOURCE)
    draw_distributions(right, model, distributions[:1], ["age"])
    right.set_ylim(bottom=0)
    return figure


@torch.inference_mode()
def gallery(estimator: AgeEstimator, store: Store, count: int) -> Figure:
    """Where a network with attention maps or patches looks, in `count` faces of a store.

    The faces are evenly spread over the store's, in the order of their ages. WrinkleError for a
    model without patches, or less than one face.
    """
    model, view = estimator.model, estimator.header["input"]
    if not isinstance(model, FusionNet | AttentionNet):
        raise WrinkleError(
            f"a gallery shows patches, and {estimator.header['model']['name']} looks at none: give "
            "a model such as adpf, or a picture"
        )
    if not 1 <= count <= len(store):
        raise WrinkleError(f"{count} faces of {len(store)} in {store.path}: give 1 to {len(store)}")
    order = np.argsort(store.ages, kind="stable")
    rows = order[((np.arange(count) + 0.5) * len(store) / count).astype(int)]
    pixels, points, ages = store_inputs(store, rows, view)
    device = estimator.device
    found = model.predict(pixels.to(device), points.to(device))
    predicted = model.expectation(found).cpu()
    return draw_gallery(model, pixels, ages, predicted)


def store_inputs(
    store: Store, rows: np.ndarray, view: dict[str, Any]
) -> tuple[Tensor, Tensor, Tensor]:
    """Faces of a store as a network sees them: pixels (B, 3, S, S), key points (B, 5, 2) in
    [−1, 1], ages (B,) in years.

    view: "input" of the model file's header.
    """
    faces = Faces(store, view["size"], view["zoom"])
    items = [faces[Draw(0, int(row), 0)] for row in rows]
    crops, matrices, points, ages = (
        torch.stack([getattr(item, name) for item in items])
        for name in ("crop", "matrix", "key_points", "age")
    )
    return face_input(crops, matrices, view["size"], view["mean"], view["std"]), points, ages
