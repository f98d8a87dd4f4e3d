"""One age per person from the estimates in single frames."""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from wrinkle.faces.align import transform, view_matrix
from wrinkle.inference.conformal import Calibration
from wrinkle.inference.resolution import LOW, widening
from wrinkle.serving.prediction import (
    age_interval,
    chance_at_least,
    estimate_to_dict,
    rounded,
)

CORRELATION = 0.96
"""Correlation of the errors of two frames of a clip, in units of the distributions' deviations.

Measured on 110 clips of 6 seconds, each composed of an FG-NET photograph that moves, turns, blurs
and changes its light (`benchmarks/video.py`): 0.96 (95 % by bootstrap over clips: 0.95–0.97). The
error of a mean of n frames has the variance (ρ + (1 − ρ) / n) of one frame's, so an interval
shrinks by 2.0 % at most. People who also change expression and pose have less correlated errors:
for them the interval is wider than it had to be.
"""
SHARP = 100.0
"""Sharpness at which an estimate counts half. Measured on the same clips: the variance within a
clip is 14, 3.0, 3.5, 1.6 and 1.3 years² at sharpnesses of about 15, 45, 90, 180 and 375."""
LARGE = 160.0
"""Side in pixels from which on an estimate counts fully, and the exponent below it. Measured on the
same clips: the variance within a clip is 3.8, 1.7 and 1.1 years² at 60, 100 and 160 pixels."""
SMALLER = 1.3
TURNED = 0.28
"""Offset of the nose, see `turned`, at which an estimate counts half. Measured on 999 FG-NET
photographs: the mean squared error, in units of the distributions' variances, is 1.06, 1.17, 1.17,
1.56 and 1.71 at offsets of about 0.02, 0.06, 0.10, 0.15 and 0.22."""


def face_pixels(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return the pixels of a picture in a box, at least one: (h, w, 3), a view.

    Args:
        image: (H, W, 3).
        box: (4,) x1, y1, x2, y2 in pixels.
    """
    limit = np.array(image.shape[1::-1])
    low = np.floor(box[:2]).astype(int).clip(0, limit - 1)
    high = np.ceil(box[2:]).astype(int).clip(low + 1, limit)
    return image[low[1] : high[1], low[0] : high[0]]


def sharpness(image: np.ndarray, box: np.ndarray) -> float:
    """Variance of the Laplacian of a face, scaled to 64 pixels, in grey levels squared.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) x1, y1, x2, y2 in pixels.
    """
    part = face_pixels(image, box)
    method = cv2.INTER_AREA if min(part.shape[:2]) > 64 else cv2.INTER_LINEAR
    grey = cv2.cvtColor(cv2.resize(part, (64, 64), interpolation=method), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def turned(key_points: np.ndarray) -> float:
    """How far a face looks aside: its nose's distance from the middle over that of the eyes.

    Args:
        key_points: (5, 2) in pixels.
    """
    aligned = transform(view_matrix(key_points, 2), key_points)
    eyes = float(np.linalg.norm(aligned[1] - aligned[0]))
    return float(abs(aligned[2, 0] - aligned[:2, 0].mean())) / max(eyes, 1e-6)


def weight(side: float, sharp: float, aside: float) -> float:
    """How much an estimate counts, in (0, 1]: about the inverse of its error's variance.

    Args:
        side: longer side of the face's box in pixels.
        sharp: by `sharpness`.
        aside: by `turned`.
    """
    large = min(max(side, 1.0) / LARGE, 1.0) ** SMALLER
    clear = max(sharp, 1.0) / (max(sharp, 1.0) + SHARP)
    return float(large * clear / (1 + (aside / TURNED) ** 2))


@dataclass(slots=True, eq=False)
class Person:
    """A person of a video and the estimated age."""

    number: int
    """1 for the first who is seen."""
    age: float
    """Years: the weighted mean of the estimates."""
    interval: tuple[float, float]
    """Years: the 90 % interval."""
    distribution: np.ndarray = field(repr=False)
    """(A,) float32, sums to 1: the weighted mean of the distributions over `ages`."""
    ages: np.ndarray = field(repr=False)
    """(A,) years, ascending."""
    first: float
    """When the person is seen first, seconds."""
    last: float
    """When the person is seen last, seconds."""
    frames: int
    """In how many frames the person is seen."""
    estimates: int
    """In how many of them the age was estimated."""
    independent: float
    """As many estimates of equal weight have the same information: (Σw)² / Σw²."""
    side: float
    """Weighted mean of the longer side of the face's box in pixels."""
    widen: float = field(repr=False)
    """Factor of the interval's width: of the resolution and of `independent`."""
    calibration: Calibration | None = field(default=None, repr=False)
    """The model's."""

    @property
    def low_resolution(self) -> bool:
        """Whether the face has so few pixels (less than 40) that its age is a rough guess."""
        return self.side < LOW

    def at_least(self, age: float) -> float:
        """Return P(the person is `age` or older), in [0, 1]; calibrated if the model is.

        Args:
            age: years.
        """
        return chance_at_least(
            age, self.distribution, self.ages, self.age, self.calibration, self.widen
        )

    def to_dict(self, at_least: float | None = None, distribution: bool = False) -> dict[str, Any]:
        """Return the person as numbers and lists; docs/video.md describes the keys.

        Args:
            at_least: years; adds the probability of this age or more as `at_least_AGE`.
            distribution: whether to add `ages` and `distribution`.
        """
        about = {
            "first": rounded(self.first, 3),
            "last": rounded(self.last, 3),
            "frames": self.frames,
            "estimates": self.estimates,
            "independent": rounded(self.independent, 1),
            "side": rounded(self.side, 1),
            "low_resolution": self.low_resolution,
        }
        return {"person": self.number} | estimate_to_dict(self, about, at_least, distribution)


class Evidence:
    """The estimates of a person so far, as sums: as large after an hour as after a second.

    Args:
        ages: (A,) years, of the distributions.
        calibration: of the model; None: not calibrated.
    """

    def __init__(self, ages: np.ndarray, calibration: Calibration | None) -> None:
        self.ages, self.calibration = ages, calibration
        self.estimates = 0
        self._weights = self._squares = self._age = self._side = self._widen = 0.0
        self._distribution = np.zeros(len(ages))

    def add(self, distribution: np.ndarray, age: float, weight: float, side: float) -> None:
        """Add the estimate of a frame.

        Args:
            distribution: (A,), sums to 1.
            age: years.
            weight: by `weight`.
            side: longer side of the face's box in pixels.
        """
        self.estimates += 1
        self._weights += weight
        self._squares += weight**2
        self._age += weight * age
        self._side += weight * side
        self._widen += weight * widening(side)
        self._distribution += weight * distribution

    @property
    def age(self) -> float:
        """Years: the weighted mean."""
        return self._age / self._weights

    @property
    def independent(self) -> float:
        """(Σw)² / Σw²."""
        return self._weights**2 / self._squares

    @property
    def distribution(self) -> np.ndarray:
        """(A,) float32: the weighted mean."""
        return np.asarray(self._distribution / self._weights, np.float32)

    @property
    def widen(self) -> float:
        """Factor of the interval's width; see `CORRELATION`."""
        shrunk = np.sqrt(CORRELATION + (1 - CORRELATION) / self.independent)
        return float(self._widen / self._weights * shrunk)

    @property
    def side(self) -> float:
        """Pixels: the weighted mean."""
        return self._side / self._weights

    def interval(self) -> tuple[float, float]:
        """The 90 % interval in years."""
        return age_interval(self.distribution, self.ages, self.age, self.calibration, self.widen)
