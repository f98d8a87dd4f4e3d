"""What a face detector returns, and how one is chosen by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from wrinkle.errors import WrinkleError


@dataclass(slots=True)
class Detection:
    """One face in a photograph.

    Coordinates are pixels of the photograph, x to the right, y down; pixel i covers [i, i + 1), so
    its centre lies at i + 0.5.
    """

    box: np.ndarray
    """(4,) float32: x1, y1, x2, y2. May reach beyond the picture's border."""
    score: float
    """The detector's confidence in [0, 1]."""
    key_points: np.ndarray
    """(5, 2) float32: left eye, right eye, nose tip, left and right mouth corner in the picture."""
    landmarks: np.ndarray | None = None
    """(68, 2) float32 in iBUG order, from detectors that give them."""

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return float(max(self.box[2] - self.box[0], 0) * max(self.box[3] - self.box[1], 0))


class Detector(Protocol):
    """Finds faces in photographs of any sizes."""

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Take (H, W, 3) uint8 RGB photographs; return each one's faces, see `by_prominence`."""
        ...


def by_prominence(faces: list[Detection]) -> list[Detection]:
    """Sort faces by falling score × area: the face a photograph is about comes first."""
    return sorted(faces, key=lambda face: -face.score * face.area)


def create_detector(name: str = "mtcnn", device: str = "cpu") -> Detector:
    """Create a detector: `mtcnn`, `dlib` (68 points; an extra) or `yunet:FILE.onnx`.

    Raises:
        WrinkleError: an unknown name, or an extra that is not installed.
    """
    kind, _, argument = name.partition(":")
    if kind == "mtcnn" and not argument:
        from wrinkle.faces.detectors.mtcnn import MTCNN

        return MTCNN(device)
    if kind == "dlib" and not argument:
        from wrinkle.faces.detectors.dlib68 import Dlib68

        return Dlib68()
    if kind == "yunet":
        from wrinkle.faces.detectors.yunet import YuNet

        return YuNet(argument)
    raise WrinkleError(f"unknown detector {name!r}: choose mtcnn, dlib or yunet:FILE.onnx")
