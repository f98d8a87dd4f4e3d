"""A network in any kind of file: PyTorch's or an exported one, which other engines run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.faces.input import InputSpec
from wrinkle.inference.engines.onnx import open_onnx
from wrinkle.inference.engines.openvino import open_openvino
from wrinkle.models.base import AgeModel, Prediction
from wrinkle.models.file import load_model
from wrinkle.models.heads.head import Head

Engine = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Faces (B, S, S, 3) float32, RGB from 0 to 255, and key points (B, 5, 2) float32 in [−1, 1] →
distributions (B, A) and ages (B,)."""

ENGINES: dict[str, Callable[[Path], tuple[Engine, dict[str, Any]]]] = {
    ".onnx": open_onnx,
    ".xml": open_openvino,
}
"""Ending of an exported file → the function that opens it."""


class ExportedModel(AgeModel):
    """A network in an exported file, for prediction on the CPU.

    Whether a face's prediction is averaged with that for its mirror image was chosen when it was
    exported. Of several classifiers only the final one is in the file.

    Args:
        engine: runs it.
        header: of the file.
    """

    def __init__(self, engine: Engine, header: dict[str, Any]) -> None:
        ages = torch.tensor(header["ages"], dtype=torch.float32)
        super().__init__(int(ages[-1]), header["input"]["size"])
        self.engine, self.head = engine, Head(ages)

    def predict_all(
        self,
        images: Tensor,
        key_points: Tensor,
        mirror: bool | None = None,
        extras: Mapping[str, Tensor] | None = None,
    ) -> Prediction:
        """Predict as `AgeModel.predict_all`, for RGB from 0 to 255; `mirror` is not used."""
        faces = np.ascontiguousarray(images.permute(0, 2, 3, 1).float().cpu().numpy())
        found = self.engine(faces, key_points.float().cpu().numpy())
        distribution, age = (torch.from_numpy(each).to(images.device) for each in found)
        return Prediction(distribution[:, None], age[:, None])


def load_network(
    path: str | Path, device: str | torch.device = "cpu"
) -> tuple[AgeModel, dict[str, Any]]:
    """Load a model file of any engine.

    Args:
        path: a model file, .onnx or .xml; anything else is read as `load_model` reads it.
        device: of a network that PyTorch runs.

    Returns:
        The network in evaluation mode, and the header.

    Raises:
        WrinkleError: the file is missing, damaged or of another program, or its engine's extra is
            not installed.
    """
    path = Path(path)
    opened = ENGINES.get(path.suffix.lower())
    if opened is None:
        return load_model(path, device)
    engine, header = opened(path)
    try:
        InputSpec.from_header(header["input"])
    except WrinkleError as error:
        raise WrinkleError(f"{path}: {error}") from None
    return ExportedModel(engine, header).eval(), header
