"""Intervals that keep their promise: split conformal calibration.

From faces that a model was not trained on, how far its errors reach, as multiples of what its own
distribution says of its uncertainty: residuals r = (age − mean) / deviation. A new face's interval
lies between two of their quantiles, P(age ≥ T) is the share of them beyond T (a conformal
predictive system: Vovk, Nouretdinov, Manokhin, Gammerman, COPA 2018). Whatever the model, on faces
drawn like those of the calibration an interval of 90 % holds the age in at least 90 % of cases, on
average over faces; not for each group of people, which is why coverage is reported by group.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from wrinkle.errors import WrinkleError

KNOTS = 1001
"""Quantiles of the residuals that are kept."""
LEAST_DEVIATION = 0.5
"""Years: a distribution may be surer of itself than labels of whole years are."""
LEAST_FACES = 50


@dataclass(frozen=True)
class Calibration:
    """What a model file keeps of its calibration.

    residuals: (K,) ascending, quantiles of r at k / (K − 1). faces: how many gave them. data: in
    words, which.
    """

    residuals: np.ndarray
    faces: int
    data: str

    def interval(self, distributions: np.ndarray, share: float = 0.9) -> np.ndarray:
        """(N, A) distributions over ages 0, 1, …, A − 1 → (N, 2): years, within [0, A − 1].

        share: of ages that are to lie within, in (0, 1). Where the calibration's faces are too few
        for it, the interval is all ages.
        """
        if not 0 < share < 1:
            raise WrinkleError(f"an interval's share is {share}; it lies between 0 and 1")
        mean, deviation = moments(distributions)
        # Each end leaves out at most (n + 1)(1 − share) / 2 of the n residuals, rounded down.
        outside = np.floor((self.faces + 1) * (1 - share) / 2 + 1e-9)
        oldest = distributions.shape[1] - 1
        if outside < 1:
            return np.tile([0.0, oldest], (len(mean), 1))
        place = (outside - 1) / (self.faces - 1)
        low, high = (self._quantile(p) for p in (place, 1 - place))
        ends = mean[:, None] + deviation[:, None] * np.array([low, high])
        return ends.clip(0, oldest)

    def at_least(self, distributions: np.ndarray, age: float) -> np.ndarray:
        """P(age ≥ `age`) for each of (N, A) distributions, in [0, 1].

        Labels are whole years, so whoever is `age` is taken for at least `age` − ½.
        """
        mean, deviation = moments(distributions)
        r = (age - 0.5 - mean) / deviation
        below = np.interp(r, self.residuals, np.linspace(0, 1, len(self.residuals)), 0, 1)
        # Neither 0 nor 1: of n faces the next one may be the first beyond all.
        return 1 - (below * (self.faces - 1) + 1) / (self.faces + 1)

    def _quantile(self, share: float) -> float:
        return float(np.interp(share, np.linspace(0, 1, len(self.residuals)), self.residuals))

    def to_header(self) -> dict[str, Any]:
        """As JSON for a model file's header."""
        residuals = [round(float(r), 5) for r in self.residuals]
        return {"residuals": residuals, "faces": self.faces, "data": self.data}

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> "Calibration | None":
        """What a model file's header holds, None where it holds none."""
        kept = header.get("calibration")
        if kept is None:
            return None
        return cls(np.asarray(kept["residuals"], np.float64), int(kept["faces"]), kept["data"])


def calibrate(distributions: np.ndarray, actual: np.ndarray, data: str) -> Calibration:
    """Calibration from (N, A) distributions of faces whose ages (N,) are known.

    data: in words, which faces. WrinkleError for fewer than `LEAST_FACES` faces.
    """
    if len(actual) < LEAST_FACES:
        raise WrinkleError(f"{len(actual)} faces are too few to calibrate; {LEAST_FACES} at least")
    mean, deviation = moments(distributions)
    residuals = np.sort((np.asarray(actual, np.float64) - mean) / deviation)
    if len(residuals) > KNOTS:
        residuals = np.quantile(residuals, np.linspace(0, 1, KNOTS))
    return Calibration(residuals, len(actual), data)


def moments(distributions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, (N,) years each, of (N, A) distributions over 0, 1, …, A − 1."""
    p = np.asarray(distributions, np.float64)
    ages = np.arange(p.shape[1])
    mean = p @ ages
    variance = p @ ages**2 - mean**2
    return mean, np.sqrt(variance.clip(0)).clip(LEAST_DEVIATION)
