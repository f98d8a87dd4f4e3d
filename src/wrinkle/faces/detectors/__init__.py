"""Face detectors: photograph → boxes and key points; one file or folder each."""

from wrinkle.faces.detectors.detection import Detection, Detector, by_prominence
from wrinkle.faces.detectors.registry import DETECTORS, create_detector
from wrinkle.faces.detectors.turned import find_upright, turn

__all__ = [
    "DETECTORS",
    "Detection",
    "Detector",
    "by_prominence",
    "create_detector",
    "find_upright",
    "turn",
]
