"""What an annotator gets, and what it returns."""

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
    """One face, as the stage `faces` crops it.

    Attributes:
        image: JPEG, square.
        key_points: (5, 2) float32 in the crop's pixels.
    """

    image: bytes
    key_points: np.ndarray


@dataclass(frozen=True)
class Label:
    """An annotator's final answer for one crop: it is not asked again.

    Attributes:
        age: years; None if it sees no age. The middle of the range where it gives one.
        detail: why not, in one line.
        raw: a service's own answer as JSON, without a key in it; empty for models.
        age_range: first and last year, if it gives a range in place of an age.
    """

    age: float | None
    detail: str = ""
    raw: str = ""
    age_range: tuple[int, int] | None = None


class AnnotatorError(WrinkleError):
    """No answer now: nothing is recorded, and the next run asks again.

    Args:
        line: what is wrong and what to do.
        fatal: whether every other face would fail too, for example with a wrong key.
    """

    def __init__(self, line: str, fatal: bool = False) -> None:
        super().__init__(line)
        self.fatal = fatal


class Annotator(Protocol):
    """Estimates ages of crops.

    Attributes:
        local: True for a model on this machine, which gets batches; False for a service, which is
            asked for one face at a time.
    """

    local: bool

    def annotate(self, crops: Sequence[Crop]) -> list[Label]:
        """A label for each crop; a bad crop gets a label without an age.

        Raises:
            AnnotatorError: a service has no answer; none of several crops gets a label then.
        """
        ...


def own_face(boxes: np.ndarray, key_points: np.ndarray) -> int | None:
    """Which of the faces found in a crop is the one that the crop shows.

    The one that contains most of the key points; the largest of several.

    Args:
        boxes: (N, 4): x1, y1, x2, y2 in the crop's pixels.
        key_points: (5, 2) in the crop's pixels.

    Returns:
        Its index; None if no box contains three key points: only other faces were found.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 1, 4)
    within = (key_points >= boxes[..., :2]) & (key_points <= boxes[..., 2:])
    contained = within.all(-1).sum(-1)
    if not len(contained) or contained.max() < 3:
        return None
    areas = np.prod(boxes[:, 0, 2:] - boxes[:, 0, :2], -1)
    return int(np.lexsort((areas, contained))[-1])
