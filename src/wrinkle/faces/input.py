"""From face crops and key points to a network's input: one description, one way to compute it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.faces.align import TEMPLATE_VERSION, face_input, transform, view_matrix
from wrinkle.settings import Count, Positive


@dataclass(frozen=True)
class InputSpec:
    """What a network expects to see of a face.

    Example:
        >>> spec = InputSpec(224, 1.0, 256, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        >>> crops = np.zeros((2, 256, 256, 3), np.uint8)
        >>> images, points = spec(crops, np.full((2, 5, 2), 128.0))
        >>> images.shape, points.shape
        (torch.Size([2, 3, 224, 224]), torch.Size([2, 5, 2]))
    """

    size: Count
    """Side of the input in pixels."""
    zoom: Positive
    """1 shows the face as `TEMPLATE` has it, 0.8 a wider view."""
    crop: Count
    """Side in pixels of the crops that stores and services cut out."""
    mean: tuple[float, float, float]
    """Of the channels red, green and blue, in [0, 1]."""
    std: tuple[Positive, Positive, Positive]
    """As `mean`."""
    template: int = TEMPLATE_VERSION
    """Version of the positions that key points are moved to."""

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> "InputSpec":
        """Read the mapping "input" of a model file's header.

        Raises:
            WrinkleError: a field is missing, of another type or out of range, or the faces were
                aligned by another template; one line.
        """
        try:
            spec = _FIELDS.validate_json(json.dumps(header), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(["input", *map(str, first["loc"])])
            raise WrinkleError(f"{field} of the model's header: {first['msg'].lower()}") from None
        if header.get("template") != TEMPLATE_VERSION:
            raise WrinkleError(
                f"aligned by face template {header.get('template')}, this wrinkle has "
                f"{TEMPLATE_VERSION}: train again or use the wrinkle that made it"
            )
        return spec

    def to_header(self) -> dict[str, Any]:
        """The mapping that `from_header` reads, ready for JSON."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    def matrices(self, key_points: np.ndarray) -> np.ndarray:
        """Maps from crop pixels to input pixels, (…, 2, 3) float64.

        Args:
            key_points: (…, 5, 2) in crop pixels.
        """
        return view_matrix(key_points, self.size, self.zoom)

    def normalised(self, points: np.ndarray) -> np.ndarray:
        """Points (…, 2) in input pixels → float32 coordinates in [−1, 1]."""
        return (points * 2 / self.size - 1).astype(np.float32)

    def images(self, crops: Tensor, matrices: Tensor) -> Tensor:
        """Warp crops and normalise their channels.

        Args:
            crops: (B, S, S, 3) uint8 RGB.
            matrices: (B, 2, 3) from crop pixels to input pixels.

        Returns:
            (B, 3, size, size) float32 in channels-last memory, on the crops' device.
        """
        return face_input(crops, matrices, self.size, self.mean, self.std)

    def pixels(self, crops: Tensor, matrices: Tensor) -> Tensor:
        """As `images`, but in [0, 1], not normalised."""
        return face_input(crops, matrices, self.size, (0, 0, 0), (1, 1, 1))

    def __call__(
        self, crops: np.ndarray | Tensor, key_points: np.ndarray, device: str | torch.device = "cpu"
    ) -> tuple[Tensor, Tensor]:
        """A batch of faces as the network takes it, without augmentation.

        Args:
            crops: (B, S, S, 3) uint8 RGB.
            key_points: (B, 5, 2) in crop pixels.
            device: where both results are made.

        Returns:
            Images (B, 3, size, size), normalised, and key points (B, 5, 2) in [−1, 1]; float32.
        """
        matrices = self.matrices(key_points)
        points = self.normalised(transform(matrices, key_points))
        images = self.images(
            torch.as_tensor(crops).to(device), torch.from_numpy(matrices).to(device)
        )
        return images, torch.from_numpy(points).to(device)


_FIELDS = TypeAdapter(InputSpec)
