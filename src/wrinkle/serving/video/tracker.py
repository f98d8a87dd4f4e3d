"""Faces of one frame matched with those of earlier frames.

A face is where a constant velocity predicts it, has about the size it had, and looks as it did. The
three are added to a cost, and pairs are made by rising cost. Of the libraries for it, `trackers`
needs opencv-python, which overwrites the opencv-python-headless that wrinkle needs; `supervision`
has no tracker since 0.30; norfair pins a filterpy of 2018. `benchmarks/video.py` compares them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

import cv2
import numpy as np

from wrinkle.faces.detectors import Detection
from wrinkle.serving.video.evidence import face_pixels

PATIENCE = 1.0
"""Seconds for which a face that is not seen is remembered; more where searches are rarer."""
REACH = 1.2
"""Distance of a face from its predicted place over its side, at most."""
GROWTH = 1.5
"""How much of `REACH` is added for each second without sight, in sides."""
RESIZE = 0.6
"""Natural logarithm of the ratio of two sides of one face, at most."""
UNLIKE = 0.5
"""Difference of two looks of one face, at most; see `look`. Half of all pairs of FG-NET's people
differ by more than 0.45."""
CUT = 30.0
"""Mean difference of two searched frames, in grey levels, from which on all faces are new ones."""
LOOKS = 2.0
"""Weight of the difference of looks beside the distance in sides."""
SIDE = 16
"""Side in pixels of the small copy that a face is recognised by."""


def look(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """What a face looks like: (SIDE · SIDE · 3,) float32 with mean 0 and length 1.

    The difference of two looks is 1 − their product, in [0, 2].

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) x1, y1, x2, y2 in pixels.
    """
    part = face_pixels(image, box)
    small = cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    values = small.reshape(-1) - small.mean()
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-6))


@dataclass(slots=True, eq=False)
class Track:
    """A face that is followed."""

    box: np.ndarray
    """(4,) where it was last seen."""
    time: float
    """When it was last seen, seconds."""
    look: np.ndarray
    """Running mean of `look`."""
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    """(2,) of its centre, pixels a second."""
    sightings: int = 1
    """In how many frames it was found."""

    def predicted(self, time: float) -> np.ndarray:
        """(2,) where its centre is at a time, without more than half a second of movement."""
        return np.asarray(_centre(self.box) + self.velocity * min(time - self.time, 0.5))

    def cost(self, time: float, found: Detection, seen: np.ndarray) -> float:
        """How badly a found face fits; infinite if it cannot be the same."""
        side = float((self.box[2:] - self.box[:2]).max())
        away = float(np.linalg.norm(self.predicted(time) - _centre(found.box)))
        away /= max((side + found.side) / 2, 1.0)
        resized = abs(float(np.log(max(side, 1.0) / max(found.side, 1.0))))
        unlike = 1 - float(self.look @ seen)
        reach = REACH + GROWTH * (time - self.time)
        if away > reach or resized > RESIZE or unlike > UNLIKE:
            return np.inf
        return away + resized + LOOKS * unlike

    def update(self, time: float, found: Detection, seen: np.ndarray) -> None:
        """Take a found face."""
        passed = max(time - self.time, 1e-3)
        moved = (_centre(found.box) - _centre(self.box)) / passed
        self.velocity = moved if self.sightings == 1 else 0.5 * self.velocity + 0.5 * moved
        self.box, self.time = found.box, time
        mixed = 0.8 * self.look + 0.2 * seen
        self.look = mixed / max(float(np.linalg.norm(mixed)), 1e-6)
        self.sightings += 1


class Tracker:
    """Follows the faces of a video.

    Attributes:
        tracks: number → face, of those that are remembered.
    """

    def __init__(self) -> None:
        self.tracks: dict[int, Track] = {}
        self._numbers = count(1)
        self._before: np.ndarray | None = None
        self._time = 0.0

    def update(self, time: float, image: np.ndarray, found: Sequence[Detection]) -> list[int]:
        """Match the faces of a frame.

        Args:
            time: of the frame, seconds, rising.
            image: (H, W, 3) uint8 RGB.
            found: its faces.

        Returns:
            The number of each face: of a track, or a new one.
        """
        cut, patience = self._is_cut(image), max(PATIENCE, 1.5 * (time - self._time))
        self._time = time
        self.tracks = {
            n: t for n, t in self.tracks.items() if time - t.time <= patience and not cut
        }
        looks = [look(image, face.box) for face in found]
        costs = {
            (number, k): track.cost(time, face, looks[k])
            for number, track in self.tracks.items()
            for k, face in enumerate(found)
        }
        numbers: dict[int, int] = {}
        taken: set[int] = set()
        for (number, k), cost in sorted(costs.items(), key=lambda item: item[1]):
            if np.isfinite(cost) and number not in taken and k not in numbers:
                self.tracks[number].update(time, found[k], looks[k])
                numbers[k] = number
                taken.add(number)
        for k, face in enumerate(found):
            if k not in numbers:
                numbers[k] = next(self._numbers)
                self.tracks[numbers[k]] = Track(face.box, time, looks[k])
        return [numbers[k] for k in range(len(found))]

    def _is_cut(self, image: np.ndarray) -> bool:
        """Whether a frame shows another scene than the one before."""
        small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        before, self._before = self._before, small
        return before is not None and float(np.abs(small - before).mean()) > CUT


def _centre(box: np.ndarray) -> np.ndarray:
    return np.asarray((box[:2] + box[2:]) / 2, np.float64)
