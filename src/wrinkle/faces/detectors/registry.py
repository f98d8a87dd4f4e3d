"""The registry of face detectors, and how one is created from its name."""

from collections.abc import Sequence

import numpy as np

from wrinkle.errors import WrinkleError
from wrinkle.faces.detectors.detection import Detection, Detector
from wrinkle.registry import Registry

DETECTORS: Registry[Detector] = Registry("detector", "wrinkle.faces.detectors")
"""Factories; each takes the device by position, then its own fields, strings."""


LIMITS = ("min_face", "min_score")
"""Fields that a detector may have to search less itself; see `create_detector`."""


def create_detector(
    spec: str = "mtcnn",
    device: str = "cpu",
    min_face: float | None = None,
    min_score: float | None = None,
) -> Detector:
    """Create a detector.

    Args:
        spec: a name of `DETECTORS`: mtcnn, dlib (68 points; an extra), yunet:FILE.onnx. What
            follows a colon is the value of the detector's first field.
        device: where its networks run, if it has any that can run elsewhere than on the CPU.
        min_face: faces whose longer side in pixels is less are left out; the detector's own choice
            when None.
        min_score: faces with a lower score, in [0, 1], are left out; the detector's own choice when
            None.

    Raises:
        WrinkleError: an unknown name, a missing or needless value, a value out of range, or a
            missing extra; one line.
    """
    if min_face is not None and not 1 <= min_face < float("inf"):
        raise WrinkleError(f"min_face is {min_face}: give 1 or more pixels")
    if min_score is not None and not 0 <= min_score <= 1:
        raise WrinkleError(f"min_score is {min_score}: give a number from 0 to 1")
    name, colon, value = spec.partition(":")
    schema = DETECTORS.schema(name).model_fields
    own = [field for field in schema if field not in LIMITS]
    if colon and not own:
        raise WrinkleError(f"detector {spec!r}: {name} takes nothing after a colon")
    limits = {"min_face": min_face, "min_score": min_score}
    given: dict[str, float | str | None] = {f: limits[f] for f in schema if f in LIMITS}
    if colon:
        given[own[0]] = value
    detector = DETECTORS.create(name, given, device)
    if min_face is None and min_score is None:
        return detector
    return _Limited(detector, min_face or 0, min_score or 0)


class _Limited:
    """A detector without the faces that are too small or too uncertain."""

    def __init__(self, detector: Detector, min_face: float, min_score: float) -> None:
        self.detector, self.min_face, self.min_score = detector, min_face, min_score

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        return [
            [f for f in faces if f.side >= self.min_face and f.score >= self.min_score]
            for faces in self.detector(images)
        ]
