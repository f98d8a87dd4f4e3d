"""The result for a picture, as dataclasses and as JSON."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from wrinkle.faces.pictures import Picture
from wrinkle.inference.conformal import Calibration
from wrinkle.inference.intervals import central_interval, probability_at_least
from wrinkle.inference.resolution import LOW, longer_side, widening


@dataclass(slots=True, eq=False)
class Face:
    """A face and its estimated age.

    Coordinates are pixels of the upright picture, that is after its EXIF orientation is applied and
    it is turned by `Prediction.rotation`: x to the right, y down, from the upper left corner; pixel
    i covers [i, i + 1).
    """

    box: np.ndarray
    """(4,) float32: x1, y1, x2, y2. May reach beyond the picture's border."""
    score: float
    """The detector's confidence in [0, 1]."""
    key_points: np.ndarray
    """(5, 2) float32: image-left eye, image-right eye, nose tip, left and right mouth corner."""
    age: float
    """Years, as the model's head decodes them: with most heads the mean of the distribution."""
    interval: tuple[float, float]
    """Years: the 90 % interval, calibrated if the model is (`calibration`), else the central
    interval of the distribution; wider for a face of few pixels."""
    distribution: np.ndarray = field(repr=False)
    """(A,) float32, sums to 1: the predicted probability of each of `ages`."""
    ages: np.ndarray = field(repr=False)
    """(A,) float32, years, ascending; with all packaged models 0, 1, …, 100."""
    calibration: Calibration | None = field(default=None, repr=False)
    """The model's calibration on faces that it was not trained on; None: not calibrated."""

    def __eq__(self, other: object) -> bool:
        """Whether all fields are equal, arrays in every element."""
        return _equal(self, other) if isinstance(other, Face) else NotImplemented

    @property
    def low_resolution(self) -> bool:
        """Whether the face has so few pixels (less than 40) that its age is a rough guess."""
        return longer_side(self.box) < LOW

    def at_least(self, age: float) -> float:
        """Return P(the person is `age` or older), in [0, 1]; calibrated if the model is.

        Args:
            age: years.
        """
        widen = widening(longer_side(self.box))
        return chance_at_least(age, self.distribution, self.ages, self.age, self.calibration, widen)

    def to_dict(
        self, at_least: float | Sequence[float] | None = None, distribution: bool = False
    ) -> dict[str, Any]:
        """Return the face as numbers, strings and lists; docs/predict.md describes the keys.

        Args:
            at_least: years, one number or several; adds the probability of each of these ages or
                more as `at_least_AGE`.
            distribution: whether to add `ages` and `distribution`.

        Returns:
            Rounded values; None for a number that is not finite.
        """
        about = {
            "score": rounded(self.score, 4),
            "box": rounded(self.box, 1),
            "key_points": rounded(self.key_points, 1),
            "low_resolution": self.low_resolution,
        }
        return estimate_to_dict(self, about, at_least, distribution)

    def to_json(self, at_least: float | None = None, distribution: bool = False) -> str:
        """Return `to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(at_least, distribution), allow_nan=False)


@dataclass(slots=True, eq=False)
class Prediction:
    """The result for one picture."""

    source: Picture
    """The picture as it was given."""
    faces: list[Face]
    """Its faces, most prominent first."""
    error: str | None = None
    """Why the picture could not be read."""
    image: np.ndarray | None = field(default=None, repr=False)
    """(H, W, 3) uint8 RGB, upright; None if it could not be read."""
    width: int | None = None
    """Of the upright picture, in pixels; None if it could not be read."""
    height: int | None = None
    """Of the upright picture, in pixels; None if it could not be read."""
    rotation: int = 0
    """0, 90, 180 or 270: degrees clockwise by which the picture, its EXIF orientation applied, was
    turned to be upright, judged by the faces in it."""
    left_out: int = 0
    """Number of further faces, whose ages were not estimated: `AgeEstimator.load(max_faces=…)`."""

    def __post_init__(self) -> None:
        """Take width and height from the picture."""
        if self.image is not None:
            self.height, self.width = self.image.shape[:2]

    def __eq__(self, other: object) -> bool:
        """Whether all fields are equal, arrays in every element."""
        return _equal(self, other) if isinstance(other, Prediction) else NotImplemented

    def to_dict(
        self, at_least: float | Sequence[float] | None = None, distribution: bool = False
    ) -> dict[str, Any]:
        """Return the prediction as `wrinkle predict --json` prints it; see docs/predict.md.

        Args:
            at_least: years, one number or several; adds the probability of each of these ages or
                more to each face.
            distribution: whether to add each face's `ages` and `distribution`.

        Returns:
            `path` (None if the source is not a path), `width`, `height`, `rotation`, `faces` and
            `error`.
        """
        named = isinstance(self.source, str | os.PathLike)
        return {
            "path": os.fsdecode(self.source) if named else None,  # type: ignore[arg-type]
            "width": self.width,
            "height": self.height,
            "rotation": self.rotation,
            "faces": [face.to_dict(at_least, distribution) for face in self.faces],
            "error": self.error,
        }

    def to_json(self, at_least: float | None = None, distribution: bool = False) -> str:
        """Return `to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(at_least, distribution), allow_nan=False)


def age_interval(
    distribution: np.ndarray,
    ages: np.ndarray,
    age: float,
    calibration: Calibration | None,
    widen: float,
) -> tuple[float, float]:
    """Return the 90 % interval of an age, calibrated or, without calibration, central.

    Args:
        distribution: (A,), sums to 1.
        ages: (A,) years, ascending.
        age: years, the estimate.
        calibration: of the model.
        widen: factor of the interval's width.
    """
    if calibration is None:
        own = np.array(central_interval(distribution, ages))
        low, high = own if widen == 1 else (age + widen * (own - age)).clip(ages[0], ages[-1])
    else:
        low, high = calibration.interval(
            distribution[None], ages, predicted=np.array([age]), widen=widen
        )[0]
    return float(low), float(high)


def chance_at_least(
    least: float,
    distribution: np.ndarray,
    ages: np.ndarray,
    age: float,
    calibration: Calibration | None,
    widen: float,
) -> float:
    """Return P(the person is `least` years or older), in [0, 1]; arguments as `age_interval`."""
    if calibration is None:
        return probability_at_least(distribution, ages, age + (least - age) / widen)
    own, p = np.array([age]), distribution[None]
    return float(calibration.at_least(p, ages, least, own, widen)[0])


def estimate_to_dict(
    estimate: Any,
    about: Mapping[str, Any],
    at_least: float | Sequence[float] | None,
    distribution: bool,
) -> dict[str, Any]:
    """Return the age, the interval and the probabilities of a face or person, and `about`.

    Args:
        estimate: `Face` or `Person`.
        about: what else is known.
        at_least, distribution: as for `Face.to_dict`.
    """
    low, high = estimate.interval
    found = {
        "age": rounded(estimate.age, 2),
        "low": rounded(low, 1),
        "high": rounded(high, 1),
    }
    several = at_least if isinstance(at_least, Sequence) else [at_least]
    for age in several:
        if age is not None:
            found[f"at_least_{age:g}"] = rounded(estimate.at_least(age), 4)
    found |= about
    if distribution:
        found["ages"] = [int(age) if age % 1 == 0 else float(age) for age in estimate.ages]
        found["distribution"] = rounded(estimate.distribution, 5)
    return found


def rounded(value: Any, digits: int) -> Any:
    """Numbers, or lists of numbers, rounded; None for NaN and infinity, which JSON lacks."""
    if isinstance(value, np.ndarray | list | tuple):
        return [rounded(each, digits) for each in value]
    number = float(value)
    return round(number, digits) + 0.0 if math.isfinite(number) else None  # no "-0.0"


def _equal(one: Any, other: Any) -> bool:
    """Whether values are equal; dataclasses, lists and arrays are compared element by element."""
    if one is other:
        return True
    if type(one) is not type(other):
        return bool(np.isscalar(one) and np.isscalar(other) and one == other)
    if hasattr(one, "shape"):  # an array, or a tensor on any device
        return one.shape == other.shape and bool((one == other).all())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, Face | Prediction | Calibration):
        return all(_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return bool(one == other)
