"""A wrinkle model as an annotator."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from wrinkle.curation.annotators.label import Crop, Label
from wrinkle.errors import ImageError
from wrinkle.faces.decode import decode
from wrinkle.faces.detectors.detection import Detection
from wrinkle.serving.estimator import AgeEstimator


class Checkpoint:
    """A network straight on the crops: nothing is detected a second time.

    Args:
        model: a packaged model's name, or a model file.
        device: cpu, cuda, cuda:1, mps; the GPU if there is one when None.

    Raises:
        WrinkleError: no such model or device, or a damaged file.
    """

    local = True

    def __init__(self, model: str = "default", device: str | None = None) -> None:
        self.name = f"wrinkle:{model}"
        self._estimator = AgeEstimator.load(model, device)

    def annotate(self, crops: Sequence[Crop]) -> list[Label]:
        """See `Annotator`; ages are as `AgeEstimator` has them, but for the crops' resampling."""
        labels: list[Label] = []
        batch = 8 if self._estimator.device.type == "cpu" else 64  # as `AgeEstimator` does
        for start in range(0, len(crops), batch):
            labels += self._batch(crops[start : start + batch])
        return labels

    @torch.inference_mode()
    def _batch(self, crops: Sequence[Crop]) -> list[Label]:
        seen = [self._input(crop) for crop in crops]
        usable = [each for each in seen if not isinstance(each, str)]
        ages = iter(self._ages(usable))
        return [Label(None, each) if isinstance(each, str) else Label(next(ages)) for each in seen]

    def _input(self, crop: Crop) -> tuple[Tensor, Tensor] | str:
        """What the network sees of a crop, a batch of one; or why it cannot be used."""
        points = np.asarray(crop.key_points, np.float32)
        if not np.isfinite(points).all():
            return "its key points are not numbers"
        try:
            image = decode(crop.image)
            box = np.array([0, 0, image.shape[1], image.shape[0]], np.float32)
            return self._estimator.inputs([(image, Detection(box, 1.0, points))])
        except ImageError as error:
            return str(error)

    def _ages(self, inputs: list[tuple[Tensor, Tensor]]) -> list[float]:
        if not inputs:
            return []
        pixels, points = (torch.cat(parts) for parts in zip(*inputs, strict=True))
        ages: list[float] = self._estimator.model.predict(pixels, points).age.tolist()
        return ages
