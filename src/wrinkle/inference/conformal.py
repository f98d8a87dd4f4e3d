"""Prediction intervals by split conformal calibration.

The calibration faces, on which the model was not trained, give residuals
r = (age − predicted age) / deviation, where the deviation is the standard deviation of the model's
distribution over ages. The interval of a new face is between two quantiles of the residuals, and
P(age ≥ T) is the share of residuals above T's (a conformal predictive system: Vovk, Nouretdinov,
Manokhin, Gammerman, COPA 2018). For any model, and for faces from the same population as the
calibration faces, a 90 % interval contains the age of at least 90 % of the faces on average. This
is not guaranteed for each group of people, so coverage is reported by group.

Every function takes the ages of a distribution, (A,) in years. They may start at any age and have
steps of any size.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wrinkle.console import count
from wrinkle.errors import WrinkleError

KNOTS = 1001
"""Number of quantiles of the residuals in a model file."""
LEAST_DEVIATION = 0.5
"""Smallest deviation of a distribution in years, because labels are integers."""
LEAST_FACES = 50
"""Smallest number of faces to calibrate on."""


@dataclass(frozen=True)
class Calibration:
    """The calibration of a model, which its file contains.

    Attributes:
        residuals: (K,) ascending: quantiles of r at k / (K − 1).
        faces: number of calibration faces.
        data: description of these faces.
    """

    residuals: np.ndarray
    faces: int
    data: str

    def interval(
        self,
        distributions: np.ndarray,
        ages: np.ndarray,
        share: float = 0.9,
        predicted: np.ndarray | None = None,
        widen: float | np.ndarray = 1.0,
    ) -> np.ndarray:
        """Return intervals that contain the age of a given share of faces.

        Args:
            distributions: (N, A), rows sum to 1.
            ages: (A,) years, the ages of the columns.
            share: of the faces, in (0, 1).
            predicted: (N,) years, the model's ages; None: the means of the distributions. The same
                choice as in `calibrate`.
            widen: factor, or (N,) factors, by which intervals are wider; see
                `wrinkle.inference.resolution`.

        Returns:
            (N, 2) years, between the smallest and the largest of `ages`; the full range if the
            calibration has too few faces for this share.

        Raises:
            WrinkleError: `share` is outside (0, 1), or shapes differ.
        """
        if not 0 < share < 1:
            raise WrinkleError(f"the share of an interval is {share}: give one in (0, 1)")
        mean, deviation = moments(distributions, ages)
        centre = mean if predicted is None else _predicted(predicted, mean)
        youngest, oldest = float(np.min(ages)), float(np.max(ages))
        # At most (n + 1)(1 − share) / 2 of the n residuals, rounded down, are outside each end.
        outside = np.floor((self.faces + 1) * (1 - share) / 2 + 1e-9)
        if outside < 1:
            return np.tile([youngest, oldest], (len(mean), 1))
        level = (outside - 1) / (self.faces - 1)
        low, high = (self._quantile(p) for p in (level, 1 - level))
        ends: np.ndarray = centre[:, None] + (widen * deviation)[:, None] * np.array([low, high])
        return ends.clip(youngest, oldest)

    def at_least(
        self,
        distributions: np.ndarray,
        ages: np.ndarray,
        age: float,
        predicted: np.ndarray | None = None,
        widen: float | np.ndarray = 1.0,
    ) -> np.ndarray:
        """Return P(age ≥ `age`) of each face.

        Labels are integers, so the threshold is `age` − ½.

        Args:
            distributions: (N, A), rows sum to 1.
            ages: (A,) years, the ages of the columns.
            age: years.
            predicted: as for `interval`.
            widen: as for `interval`.

        Returns:
            (N,) in (0, 1).

        Raises:
            WrinkleError: shapes differ.
        """
        mean, deviation = moments(distributions, ages)
        centre = mean if predicted is None else _predicted(predicted, mean)
        r = (age - 0.5 - centre) / (widen * deviation)
        below = np.interp(r, self.residuals, np.linspace(0, 1, len(self.residuals)), 0, 1)
        # Never 0 or 1: with n faces, the next residual may be below or above all of them.
        above: np.ndarray = 1 - (below * (self.faces - 1) + 1) / (self.faces + 1)
        return above

    def _quantile(self, share: float) -> float:
        return float(np.interp(share, np.linspace(0, 1, len(self.residuals)), self.residuals))

    def to_header(self) -> dict[str, Any]:
        """Return the calibration as JSON for the header of a model file."""
        residuals = [round(float(r), 5) for r in self.residuals]
        return {"residuals": residuals, "faces": self.faces, "data": self.data}

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> "Calibration | None":
        """Return the calibration in the header of a model file; None if there is none."""
        kept = header.get("calibration")
        if kept is None:
            return None
        return cls(np.asarray(kept["residuals"], np.float64), int(kept["faces"]), kept["data"])


def calibrate(
    distributions: np.ndarray,
    ages: np.ndarray,
    actual: np.ndarray,
    data: str,
    predicted: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    symmetric: bool = False,
) -> Calibration:
    """Calibrate on faces of known age, on which the model was not trained.

    Args:
        distributions: (N, A), rows sum to 1.
        ages: (A,) years, the ages of the columns.
        actual: (N,) years, the true ages.
        data: description of the faces.
        predicted: (N,) years, the model's ages, if they are not the means of the distributions (as
            with CORAL).
        weights: (N,), above 0, how much each face counts; None: all the same.
        symmetric: whether −r counts as much as r, so that the estimate is in the middle of each
            interval. For faces of another kind than these, whose errors may have the other sign.

    Returns:
        The calibration.

    Raises:
        WrinkleError: fewer than `LEAST_FACES` faces, or shapes differ.
    """
    check_number(len(actual))
    mean, deviation = moments(distributions, ages)
    centre = mean if predicted is None else _predicted(predicted, mean)
    residuals = (np.asarray(actual, np.float64) - centre) / deviation
    if symmetric:
        residuals = np.concatenate([residuals, -residuals])
        weights = None if weights is None else np.tile(weights, 2)
    order = np.argsort(residuals, kind="stable")
    residuals = residuals[order]
    if weights is not None:
        own = np.asarray(weights, np.float64)[order]
        places = np.cumsum(own) - own
        residuals = np.interp(np.linspace(0, 1, KNOTS), places / places[-1], residuals)
    elif len(residuals) > KNOTS:
        residuals = np.quantile(residuals, np.linspace(0, 1, KNOTS))
    return Calibration(residuals, len(actual), data)


def check_number(faces: int, data: str = "") -> None:
    """Check that there are enough faces to calibrate on.

    Args:
        faces: their number.
        data: where they come from, for the message.

    Raises:
        WrinkleError: fewer than `LEAST_FACES`.
    """
    if faces < LEAST_FACES:
        given = f"{count(faces, 'face')}{f' of {data}' if data else ''}"
        verb = "is" if faces == 1 else "are"
        raise WrinkleError(f"{given} {verb} too few to calibrate: give {LEAST_FACES} or more")


def balanced_weights(domains: Sequence[Hashable], people: Sequence[str | None]) -> np.ndarray:
    """Return weights with which each domain, and in a domain each person, counts the same.

    Intervals that are calibrated with them do not rest on the dataset with most faces, nor on the
    people with most pictures.

    Args:
        domains: of N faces, such as the dataset.
        people: of N faces, unique in a domain; None: each such face is another person.

    Returns:
        (N,), with mean 1.
    """
    who = [p or f"face {n}" for n, p in enumerate(people)]
    pictures = Counter(zip(domains, who, strict=True))
    persons = Counter(domain for domain, _ in pictures)
    weights = np.array(
        [1 / (persons[d] * pictures[d, p]) for d, p in zip(domains, who, strict=True)]
    )
    balanced: np.ndarray = weights / weights.mean()
    return balanced


def moments(distributions: np.ndarray, ages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the means and standard deviations of distributions.

    Args:
        distributions: (N, A), rows sum to 1.
        ages: (A,) years, the ages of the columns.

    Returns:
        Means and deviations, (N,) years each; deviations are at least `LEAST_DEVIATION`.

    Raises:
        WrinkleError: the shapes differ.
    """
    p, x = np.asarray(distributions, np.float64), np.asarray(ages, np.float64)
    if p.ndim != 2 or x.shape != p.shape[1:]:
        raise WrinkleError(f"distributions {p.shape} need ages {p.shape[1:]}, not {x.shape}")
    mean = p @ x
    variance = p @ x**2 - mean**2
    return mean, np.sqrt(variance.clip(0)).clip(LEAST_DEVIATION)


def _predicted(predicted: np.ndarray, mean: np.ndarray) -> np.ndarray:
    values = np.asarray(predicted, np.float64)
    if values.shape != mean.shape:
        raise WrinkleError(f"{len(mean)} distributions need as many predicted ages: {values.shape}")
    return values
