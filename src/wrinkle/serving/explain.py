"""A figure of how a model comes to one face's age: what it looked at, and what each part says."""

from os import PathLike

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from wrinkle.datasets.store import Store
from wrinkle.errors import ImageError, WrinkleError
from wrinkle.faces.decode import decode
from wrinkle.faces.input import InputSpec
from wrinkle.faces.pictures import Picture, printable
from wrinkle.models.base import Prediction
from wrinkle.serving.estimator import AgeEstimator
from wrinkle.serving.explainers import explain_face, explain_many


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
    found = estimator.model.predict_all(pixels, key_points)
    prediction = Prediction(*(part[0].float().cpu() for part in found))
    return explain_face(estimator.model, pixels.cpu(), key_points.cpu(), prediction)


@torch.inference_mode()
def gallery(estimator: AgeEstimator, store: Store, count: int) -> Figure:
    """Where a network with attention maps or patches looks, in `count` faces of a store.

    The faces are evenly spread over the store's, in the order of their ages. WrinkleError for a
    model without patches, or less than one face.
    """
    model = estimator.model
    if not 1 <= count <= len(store):
        raise WrinkleError(f"{count} faces of {len(store)} in {store.path}: give 1 to {len(store)}")
    order = np.argsort(store.ages, kind="stable")
    rows = order[((np.arange(count) + 0.5) * len(store) / count).astype(int)]
    pixels, points, ages = store_inputs(store, rows, estimator.spec)
    found = model.predict(pixels.to(estimator.device), points.to(estimator.device))
    return explain_many(model, pixels, ages, found.age.cpu())


def store_inputs(store: Store, rows: np.ndarray, spec: InputSpec) -> tuple[Tensor, Tensor, Tensor]:
    """Faces of a store as a network sees them: pixels (B, 3, S, S), key points (B, 5, 2) in
    [−1, 1], ages (B,) in years."""
    crops = np.stack([store.image(int(row)) for row in rows])
    return *spec(crops, store.key_points[rows]), torch.from_numpy(store.ages[rows])
