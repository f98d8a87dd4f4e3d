"""What is done to boxes, arrays (N, 4) of x1, y1, x2, y2 in pixels."""

import numpy as np


def adjust(boxes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Move the corners of boxes (N, 4) by offsets (N, 4) in units of the box's sides."""
    moved: np.ndarray = boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return moved


def square(boxes: np.ndarray) -> np.ndarray:
    """Widen the shorter side of each box to the longer one; the centre stays."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], 1)


def select(mask: np.ndarray, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """The rows of each array where the mask is true."""
    return tuple(array[mask] for array in arrays)


def suppress(
    owner: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    of_smaller: bool = False,
) -> np.ndarray:
    """Greedy non-maximum suppression in each photograph.

    Args:
        owner: (N,) index of each box's photograph.
        boxes: (N, 4).
        scores: (N,).
        threshold: a box that overlaps a better one by more is dropped.
        of_smaller: overlap is the intersection over the smaller box's area, not over the union.

    Returns:
        Indices of the boxes kept, by owner and falling score.
    """
    kept = []
    order = np.lexsort((-scores, owner))
    x1, y1, x2, y2 = np.ascontiguousarray(boxes.T)
    area = (x2 - x1) * (y2 - y1)
    for rest in np.split(order, np.flatnonzero(np.diff(owner[order])) + 1):
        while rest.size:
            best, rest = rest[0], rest[1:]
            kept.append(best)
            if not rest.size:
                break
            width = np.minimum(x2[best], x2[rest]) - np.maximum(x1[best], x1[rest])
            height = np.minimum(y2[best], y2[rest]) - np.maximum(y1[best], y1[rest])
            shared = np.maximum(width, 0) * np.maximum(height, 0)
            if of_smaller:
                total = np.minimum(area[best], area[rest])
            else:
                total = area[best] + area[rest] - shared
            rest = rest[shared <= threshold * total]
    return np.array(kept, np.int64)
