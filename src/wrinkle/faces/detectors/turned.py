"""Photographs that are not upright: which way to turn them, judged by the faces in them."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from wrinkle.faces.detectors.detection import Detection, Detector

SURE = 0.96
"""A most prominent face with this score, …"""
TILT = 30.0
"""… tilted by at most these degrees, shows that the photograph is upright."""
BETTER = 0.5
"""Doubt about a face in a turned photograph over that in the photograph as it is, at most; see
`_doubt`."""
LEAST = 0.9
"""Score of a face for which a photograph is turned."""
ANGLES = (0, 90, 180, 270)
SIDE = 80
"""Longest side in pixels of the part around a doubtful face that is turned first."""
WHOLE = 256
"""Longest side in pixels of the copy of a photograph without a face that is turned first."""


def find_upright(
    detector: Detector, images: Sequence[np.ndarray]
) -> list[tuple[int, list[Detection]]]:
    """Find faces in photographs, turned by a quarter or half where that shows them better.

    Only photographs without a face, or with a doubtful one, are looked at more than once. Of 1,002
    FG-NET photographs, 3 have no face and 21 a doubtful one.

    Args:
        detector: finds faces that are about upright.
        images: (H, W, 3) uint8 RGB.

    Returns:
        Of each photograph, by how many degrees clockwise it is to be turned (0, 90, 180 or 270) and
        the faces, in pixels of the turned photograph.
    """
    found = detector(images) if len(images) else []
    result = [(0, faces) for faces in found]
    doubtful = [i for i, faces in enumerate(found) if faces and _is_doubtful(faces[0])]
    parts = {i: _surroundings(images[i], found[i][0]) for i in doubtful}
    # A detector may have a faster way to find faces that fill much of a picture.
    angles = _best_angles(getattr(detector, "find_large", detector), parts)
    parts = {i: _shrunk(images[i], WHOLE) for i, faces in enumerate(found) if not faces}
    angles |= _best_angles(detector, parts, known=True)
    for index, angle in angles.items():
        (turned,) = detector([turn(images[index], angle)])
        sure = bool(turned) and turned[0].score >= LEAST
        if sure and _doubt(turned) < BETTER * _doubt(found[index]):
            result[index] = angle, turned
    return result


def turn(image: np.ndarray, degrees: int) -> np.ndarray:
    """A photograph (H, W, 3), turned clockwise by 0, 90, 180 or 270 degrees."""
    return np.ascontiguousarray(np.rot90(image, -degrees // 90)) if degrees else image


def _is_doubtful(face: Detection) -> bool:
    return face.score < SURE or abs(_tilt(face)) > TILT


def _tilt(face: Detection) -> float:
    """Degrees by which the line through the eyes is tilted."""
    x, y = face.key_points[1] - face.key_points[0]
    return math.degrees(math.atan2(y, x))


def _doubt(faces: list[Detection]) -> float:
    """How doubtful it is that a photograph with these faces is upright.

    It is what the best face's score lacks to 1, doubled if its eyes are tilted by 45 degrees.
    """
    return min(((1 - f.score) * (1 + (_tilt(f) / 45) ** 2) for f in faces), default=1.0)


def _best_angles(
    detector: Detector, parts: dict[int, np.ndarray], known: bool = False
) -> dict[int, int]:
    """The angles other than 0 at which pictures, given by index, show a much better face.

    Args:
        detector: finds faces that are about upright.
        parts: the pictures.
        known: it is known that there is no face at the angle 0.
    """
    angles = ANGLES[1:] if known else ANGLES
    found = detector([turn(part, angle) for part in parts.values() for angle in angles])
    doubts = np.array([_doubt(faces) for faces in found]).reshape(-1, len(angles))
    best = {i: (int(own.argmin()), own) for i, own in zip(parts, doubts, strict=True)}
    return {
        i: angles[k] for i, (k, own) in best.items() if own[k] < BETTER * (1.0 if known else own[0])
    }


def _surroundings(image: np.ndarray, face: Detection) -> np.ndarray:
    """The square of twice the face's side around it, as far as it is inside, shrunk to `SIDE`."""
    centre = (face.box[:2] + face.box[2:]) / 2
    inside = np.array(image.shape[1::-1])
    low = np.rint(centre - face.side).astype(int).clip(0, inside - 1)
    high = np.rint(centre + face.side).astype(int).clip(low + 1, inside)
    return _shrunk(image[low[1] : high[1], low[0] : high[0]], SIDE)


def _shrunk(image: np.ndarray, side: int) -> np.ndarray:
    """A picture whose longer side is at most `side`."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(round(length * scale), 1) for length in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
