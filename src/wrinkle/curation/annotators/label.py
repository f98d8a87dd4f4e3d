"""What an annotator is shown, and what it says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from wrinkle.errors import WrinkleError

NO_FACE = "no face"
ANOTHER_FACE = "no face where the key points are"
NO_AGE = "a face, but no age"


@dataclass(frozen=True)
class Crop:
    """One face, cut out as `wrinkle.curation.faces` does.

    image: JPEG, square. key_points: (5, 2) float32 in the crop's pixels.
    """

    image: bytes
    key_points: np.ndarray


@dataclass(frozen=True)
class Label:
    """What an annotator says of one crop, for good: it need not be asked again.

    age: years; None: it has none to give. detail: why, in one line. raw: the service's own answer
    as JSON, without a key in it; empty for models.
    """

    age: float | None
    detail: str = ""
    raw: str = ""


class AnnotatorError(WrinkleError):
    """No answer now: nothing is to be recorded, the face is to be asked again in the next run.

    fatal: no other face would get an answer either, a wrong key say; stop asking this annotator.
    """

    def __init__(self, line: str, fatal: bool = False) -> None:
        super().__init__(line)
        self.fatal = fatal


class Annotator(Protocol):
    """Gives ages to crops.

    name: unique among those of one configuration. local: True for a model on this machine, which
    likes batches; False for a service, to be asked one face at a time.
    """

    name: str
    local: bool

    def annotate(self, crops: Sequence[Crop]) -> list[Label]:
        """A label for each crop; a bad crop costs itself.

        Raises:
            AnnotatorError: of services; of several crops none gets a label then.
        """
        ...


def own_face(boxes: np.ndarray, key_points: np.ndarray) -> int | None:
    """Which of the faces that were found in a crop is the one it was made for.

    It holds most of the key points; among equals the largest is taken.

    Args:
        boxes: (N, 4): x1, y1, x2, y2 in the crop's pixels.
        key_points: (5, 2) in the crop's pixels.

    Returns:
        Its number; None where no box holds three key points: somebody else's face at the border.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 1, 4)
    within = (key_points >= boxes[..., :2]) & (key_points <= boxes[..., 2:])
    held = within.all(-1).sum(-1)
    if not len(held) or held.max() < 3:
        return None
    return int(np.lexsort((np.prod(boxes[:, 0, 2:] - boxes[:, 0, :2], -1), held))[-1])
