"""dlib's HOG face detector with 68 landmarks; needs the extra `dlib`.

Detector: Dalal, Triggs: Histograms of Oriented Gradients for Human Detection. CVPR 2005; max-margin
training of King, arXiv:1502.00046. Landmarks: Kazemi, Sullivan: One Millisecond Face Alignment with
an Ensemble of Regression Trees. CVPR 2014.
"""

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wrinkle.errors import WrinkleError, install_command
from wrinkle.faces.detectors.detection import Detection, by_prominence
from wrinkle.faces.detectors.registry import DETECTORS

# The detector's smallest face is 80 pixels wide; in a portrait of this size, the face is larger.
_LONGEST_SIDE = 640


@DETECTORS.named("dlib")
class Dlib68:
    """Detector with dlib's frontal HOG model, on the CPU.

    It first looks for faces of 80 pixels and more in the photograph scaled down to 640 pixels; if
    there is none, also for smaller ones, in the scaled photograph enlarged twice. Landmarks are
    fitted in the photograph itself.

    Raises:
        WrinkleError: the extra `dlib` is not installed.
    """

    def __init__(self, device: str = "cpu", /) -> None:
        try:
            import dlib
        except ImportError:
            raise WrinkleError(_missing()) from None
        self._rectangle = dlib.rectangle
        self._detector = dlib.get_frontal_face_detector()
        self._predictor = dlib.shape_predictor(str(_predictor_file()))

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Find faces in (H, W, 3) uint8 RGB photographs; see `Detector`."""
        return [by_prominence(self._find(image)) for image in images]

    def _find(self, image: np.ndarray) -> list[Detection]:
        height, width = image.shape[:2]
        scale = min(1.0, _LONGEST_SIDE / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = np.ascontiguousarray(image)
        small = image if scale == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        back = np.array([width / size[0], height / size[1]])
        for doublings in (0, 1):
            boxes, margins, _ = self._detector.run(small, doublings, 0.0)
            if boxes:
                return [
                    self._fit(image, box, margin, back)
                    for box, margin in zip(boxes, margins, strict=True)
                ]
        return []

    def _fit(self, image: np.ndarray, box: Any, margin: float, back: np.ndarray) -> Detection:
        corners = np.array([[box.left(), box.top()], [box.right() + 1, box.bottom() + 1]]) * back
        left, top, right, bottom = (int(v) for v in np.rint(corners).ravel())
        shape = self._predictor(image, self._rectangle(left, top, right - 1, bottom - 1))
        # dlib's points name pixels; half a pixel more is their centre.
        landmarks = np.array([[p.x + 0.5, p.y + 0.5] for p in shape.parts()], np.float32)
        return Detection(
            box=corners.ravel().astype(np.float32),
            score=1 / (1 + math.exp(-margin)),
            key_points=five_of_68(landmarks),
            landmarks=landmarks,
        )


def five_of_68(landmarks: np.ndarray) -> np.ndarray:
    """Reduce (68, 2) iBUG landmarks to (5, 2) float32: eye centres, nose tip, mouth corners."""
    points = (
        landmarks[36:42].mean(axis=0),
        landmarks[42:48].mean(axis=0),
        landmarks[30],
        landmarks[48],
        landmarks[54],
    )
    return np.stack(points).astype(np.float32)


def _predictor_file() -> Path:
    """Find the landmark model in `face_recognition_models`, whose import needs pkg_resources."""
    spec = find_spec("face_recognition_models")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder, "models", "shape_predictor_68_face_landmarks.dat")
        if file.is_file():
            return file
    raise WrinkleError(_missing())


def _missing() -> str:
    return f"the detector dlib needs an extra: {install_command('dlib')}"
