"""A wrinkle model as an annotator."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from wrinkle.curation.annotators import ANNOTATORS, Crop, Label
from wrinkle.errors import ImageError
from wrinkle.faces.decode import decode
from wrinkle.faces.detectors.detection import Detection
from wrinkle.serving.estimator import AgeEstimator


@ANNOTATORS.named("wrinkle")
class Checkpoint:
    """A wrinkle model, run on the crops without another detection.

    Args:
        model: a packaged model's name, or a model file.
        device: cpu, cuda, cuda:1, mps; None: the GPU if there is one.

    Raises:
        WrinkleError: no such model or device, or a damaged file.
    """

    local = True

    def __init__(self, model: str = "default", device: str | None = None) -> None:
        self._estimator = AgeEstimator.load(model, device)

    def annotate(self, crops: Sequence[Crop]) -> list[Label]:
        """See `Annotator`; ages are those of `AgeEstimator` up to the crops' resampling."""
        labels: list[Label] = []
        batch = 8 if self._estimator.device.type == "cpu" else 64  # as `AgeEstimator` does
        for start in range(0, len(crops), batch):
            labels += self._batch(crops[start : start + batch])
        return labels

    @torch.inference_mode()
    def _batch(self, crops: Sequence[Crop]) -> list[Label]:
        inputs = [self._input(crop) for crop in crops]
        usable = [each for each in inputs if not isinstance(each, str)]
        ages = iter(self._ages(usable))
        return [
            Label(None, each) if isinstance(each, str) else Label(next(ages)) for each in inputs
        ]

    def _input(self, crop: Crop) -> tuple[Tensor, Tensor] | str:
        """The network's input for a crop, a batch of one; or why it cannot be used."""
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
