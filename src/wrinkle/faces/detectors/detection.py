"""What a face detector is and what it returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(slots=True)
class Detection:
    """One face in a photograph.

    Coordinates are pixels of the photograph, x to the right, y down; pixel i covers [i, i + 1), so
    its centre is at i + 0.5.
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

    @property
    def side(self) -> float:
        """Longer side of the box in pixels."""
        return float((self.box[2:] - self.box[:2]).max())


class Detector(Protocol):
    """Finds faces in photographs of any sizes.

    One that several threads may use at the same time has an attribute `concurrent = True`.
    """

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Find the faces of each photograph.

        Args:
            images: (H, W, 3) uint8 RGB.

        Returns:
            A list of faces for each photograph, sorted by `by_prominence`.
        """
        ...


def by_prominence(faces: list[Detection]) -> list[Detection]:
    """Sort faces by falling score × area: the face a photograph is about comes first."""
    return sorted(faces, key=lambda face: -face.score * face.area)
