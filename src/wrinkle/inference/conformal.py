"""Prediction intervals by split conformal calibration.

The calibration faces, which the model was not trained on, give residuals
r = (age − predicted age) / deviation, where the deviation is that of the model's own distribution
over ages. The interval of a new face reaches from one quantile of the residuals to another, and
P(age ≥ T) is the share of residuals above T's (a conformal predictive system: Vovk, Nouretdinov,
Manokhin, Gammerman, COPA 2018). For any model, and for faces drawn from the same population as the
calibration faces, a 90 % interval contains the age of at least 90 % of the faces on average. It
does not promise this for each group of people, so coverage is reported by group.

Every function takes the ages behind a distribution, (A,) in years. They may start at any age and
have steps of any size.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from wrinkle.errors import WrinkleError

KNOTS = 1001
"""Quantiles of the residuals that a model file keeps."""
LEAST_DEVIATION = 0.5
"""Years: smallest deviation of a distribution, because labels are whole years."""
LEAST_FACES = 50


@dataclass(frozen=True)
class Calibration:
    """The calibration that a model file carries.

    Attributes:
        residuals: (K,) ascending: quantiles of r at k / (K − 1).
        faces: number of calibration faces.
        data: which faces, in words.
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
    ) -> np.ndarray:
        """Intervals that contain the age of a given share of faces.

        Args:
            distributions: (N, A), rows sum to 1.
            ages: (A,) years: the ages behind the columns.
            share: in (0, 1).
            predicted: (N,) years: the model's ages; the means of the distributions when None. The
                same choice as in `calibrate`.

        Returns:
            (N, 2) years, within the smallest and the largest of `ages`; all ages where the
            calibration has too few faces for this share.

        Raises:
            WrinkleError: `share` is outside (0, 1), or shapes differ.
        """
        if not 0 < share < 1:
            raise WrinkleError(f"the share of an interval is {share}: give one between 0 and 1")
        mean, deviation = moments(distributions, ages)
        centre = mean if predicted is None else _predicted(predicted, mean)
        youngest, oldest = float(np.min(ages)), float(np.max(ages))
        # Each end leaves out at most (n + 1)(1 − share) / 2 of the n residuals, rounded down.
        outside = np.floor((self.faces + 1) * (1 - share) / 2 + 1e-9)
        if outside < 1:
            return np.tile([youngest, oldest], (len(mean), 1))
        place = (outside - 1) / (self.faces - 1)
        low, high = (self._quantile(p) for p in (place, 1 - place))
        ends: np.ndarray = centre[:, None] + deviation[:, None] * np.array([low, high])
        return ends.clip(youngest, oldest)

    def at_least(
        self,
        distributions: np.ndarray,
        ages: np.ndarray,
        age: float,
        predicted: np.ndarray | None = None,
    ) -> np.ndarray:
        """P(age ≥ `age`) of each face, (N,) in (0, 1).

        Labels are whole years, so the threshold is `age` − ½.

        Args:
            distributions: (N, A), rows sum to 1.
            ages: (A,) years.
            age: years.
            predicted: as for `interval`.
        """
        mean, deviation = moments(distributions, ages)
        centre = mean if predicted is None else _predicted(predicted, mean)
        r = (age - 0.5 - centre) / deviation
        below = np.interp(r, self.residuals, np.linspace(0, 1, len(self.residuals)), 0, 1)
        # Never 0 or 1: with n faces, the next residual may be below or above all of them.
        above: np.ndarray = 1 - (below * (self.faces - 1) + 1) / (self.faces + 1)
        return above

    def _quantile(self, share: float) -> float:
        return float(np.interp(share, np.linspace(0, 1, len(self.residuals)), self.residuals))

    def to_header(self) -> dict[str, Any]:
        """The calibration as JSON for the header of a model file."""
        residuals = [round(float(r), 5) for r in self.residuals]
        return {"residuals": residuals, "faces": self.faces, "data": self.data}

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> "Calibration | None":
        """The calibration in the header of a model file; None if there is none."""
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
) -> Calibration:
    """Calibrate on faces of known age that the model was not trained on.

    Args:
        distributions: (N, A), rows sum to 1.
        ages: (A,) years: the ages behind the columns.
        actual: (N,) years: the true ages.
        data: which faces, in words.
        predicted: (N,) years: the model's ages, where they are not the means of the distributions
            (CORAL's for example).

    Raises:
        WrinkleError: fewer than `LEAST_FACES` faces, or shapes differ.
    """
    if len(actual) < LEAST_FACES:
        raise WrinkleError(f"{len(actual)} faces are too few to calibrate; {LEAST_FACES} at least")
    mean, deviation = moments(distributions, ages)
    centre = mean if predicted is None else _predicted(predicted, mean)
    residuals = np.sort((np.asarray(actual, np.float64) - centre) / deviation)
    if len(residuals) > KNOTS:
        residuals = np.quantile(residuals, np.linspace(0, 1, KNOTS))
    return Calibration(residuals, len(actual), data)


def moments(distributions: np.ndarray, ages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, (N,) years each, of (N, A) distributions over `ages` (A,).

    A deviation is at least `LEAST_DEVIATION`.

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
