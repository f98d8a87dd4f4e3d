"""The registry of face detectors, and how one is created from its name."""

from wrinkle.errors import WrinkleError
from wrinkle.faces.detectors.detection import Detector
from wrinkle.registry import Registry

DETECTORS: Registry[Detector] = Registry("detector", "wrinkle.faces.detectors")
"""Factories; each takes the device by position, then its own fields, strings."""


def create_detector(spec: str = "mtcnn", device: str = "cpu") -> Detector:
    """Create a detector.

    Args:
        spec: a name of `DETECTORS`: mtcnn, dlib (68 points; an extra), yunet:FILE.onnx. What
            follows a colon is the value of the detector's first field.
        device: where its networks run, if it has any that can run elsewhere than on the CPU.

    Raises:
        WrinkleError: an unknown name, a missing or needless value, or a missing extra; one line.
    """
    name, colon, value = spec.partition(":")
    fields = list(DETECTORS.schema(name).model_fields)
    if colon and not fields:
        raise WrinkleError(f"detector {spec!r}: {name} takes nothing after a colon")
    return DETECTORS.create(name, {fields[0]: value} if colon else {}, device)
