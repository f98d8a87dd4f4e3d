"""Pixels for MTCNN's networks: image pyramids, patches, crops under boxes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

PYRAMID_STEP = 0.709
"""Ratio of neighbouring pyramid levels: half the area."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for in a photograph besides the faces that are known."""

    known: np.ndarray
    """(N, 4) boxes of the known faces."""
    smallest: float
    """Side in pixels of the smallest face to find."""
    largest: float
    """Side in pixels from which faces are known already; infinite if none are."""


def halvings(image: np.ndarray, smallest: int) -> list[np.ndarray]:
    """A picture and its copies of half, a quarter, … of its size, none below `smallest` pixels.

    Halving is many times as fast as a resize by another factor, and so is what starts from a half.
    """
    copies = [image]
    while min(copies[-1].shape[:2]) >= 2 * smallest:
        copies.append(halve(copies[-1]))
    return copies


def halve(picture: np.ndarray) -> np.ndarray:
    """A picture of half the size; an odd last row or column is left out."""
    height, width = (side // 2 for side in picture.shape[:2])
    even = picture[: 2 * height, : 2 * width]
    return cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)


def shrink(
    copies: Sequence[np.ndarray], scale: float, method: int = cv2.INTER_LINEAR
) -> tuple[np.ndarray, np.ndarray]:
    """A picture made smaller by about `scale`, if that is below 1, and its exact scale (x, y).

    Args:
        copies: the picture's `halvings`.
        scale: about the new size over the picture's.
        method: INTER_LINEAR, or INTER_AREA, which takes ten times as long.
    """
    if scale >= 1:
        return copies[0], np.ones(2)
    halved = min(int(-np.log2(scale)), len(copies) - 1)
    picture, exact = _resize(copies[halved], scale * 2**halved, method)
    return picture, exact / 2**halved


def _resize(
    picture: np.ndarray, scale: float, method: int = cv2.INTER_LINEAR
) -> tuple[np.ndarray, np.ndarray]:
    """A picture at about `scale`, from a half to one, and its exact scale (x, y)."""
    size = [max(round(side * scale), 1) for side in picture.shape[1::-1]]
    small = cv2.resize(picture, size, interpolation=method)
    return small, np.array(size) / picture.shape[1::-1]


def pyramid(
    copies: Sequence[np.ndarray], search: Search, cell: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The scale (x, y) of each level of a photograph's pyramid and the level, the finest first.

    Args:
        copies: the photograph and its `halvings`.
        search: what is looked for in it.
        cell: side to which a level scales the smallest face that it shows; no level is smaller.

    Beside known faces, levels are made by bilinear interpolation, which is fast, and else by means
    of areas, which give the best scores.
    """
    scale = cell / search.smallest
    method = cv2.INTER_LINEAR if len(search.known) else cv2.INTER_AREA
    picture, exact = shrink(copies, scale, method)
    while scale * search.largest > cell and min(picture.shape[:2]) >= cell:
        yield exact, picture
        # Each level is made from the one before.
        picture, step = _resize(picture, PYRAMID_STEP, method)
        exact = exact * step
        scale *= PYRAMID_STEP


def cut(picture: np.ndarray, start: np.ndarray, side: int) -> np.ndarray:
    """Square parts of a picture (H, W, 3) uint8 → (N, side, side, 3).

    Args:
        start: (N, 2) corner (x, y) of each part.
        side: of a part in pixels.
    """
    height, width, _ = picture.shape
    views = np.lib.stride_tricks.as_strided(
        picture,
        (height - side + 1, width - side + 1, side, 3 * side),
        (*picture.strides[:2], picture.strides[0], 1),
        writeable=False,
    )
    parts: np.ndarray = views[start[:, 1], start[:, 0]].reshape(-1, side, side, 3)
    return parts


def normalise(pictures: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 → (B, 3, H, W) float32 in [−1, 1]."""
    return pictures.permute(0, 3, 1, 2).float().sub_(127.5).div_(128)


def resize_box(image: np.ndarray, box: Sequence[float], out: np.ndarray) -> None:
    """Resize the pixels under a square box, black beyond the border, into `out`."""
    x1, y1 = (math.floor(low) for low in box[:2])
    x2, y2 = (
        int(max(math.ceil(high), low + 1)) for low, high in zip(box[:2], box[2:], strict=True)
    )
    height, width = image.shape[:2]
    left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    if left >= right or top >= bottom:
        out[:] = 0
        return
    pixels = image[top:bottom, left:right]
    if (left, top, right, bottom) != (x1, y1, x2, y2):
        edges = top - y1, y2 - bottom, left - x1, x2 - right
        pixels = cv2.copyMakeBorder(pixels, *edges, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    method = cv2.INTER_AREA if pixels.shape[0] > out.shape[0] else cv2.INTER_LINEAR
    cv2.resize(pixels, out.shape[1::-1], out, interpolation=method)
