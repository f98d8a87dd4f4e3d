"""Pixels for MTCNN's networks: image pyramids, batches of unequal pictures, crops under boxes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

PYRAMID_STEP = 0.709
"""Ratio of neighbouring pyramid levels: half the area."""
Level = list[tuple[int, np.ndarray, np.ndarray]]
"""Photographs at one level: index of the photograph, the level's scale (x, y), and the picture."""


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


def pyramids(
    copies: Sequence[Sequence[np.ndarray]], searches: Sequence[Search], cell: int
) -> Iterator[Level]:
    """Pyramids of all photographs, level by level, the finest first.

    Args:
        copies: of each photograph, itself and its `halvings`.
        searches: of each photograph, what is looked for.
        cell: side to which a level scales the smallest face that it shows; no level is smaller.

    Beside known faces, levels are made by bilinear interpolation, which is fast, and else by means
    of areas, which give the best scores.
    """
    scales = [cell / search.smallest for search in searches]
    methods = [cv2.INTER_LINEAR if len(s.known) else cv2.INTER_AREA for s in searches]
    current = [shrink(*each) for each in zip(copies, scales, methods, strict=True)]
    while True:
        level: Level = []
        for index, search in enumerate(searches):
            picture, exact = current[index]
            if scales[index] * search.largest > cell and min(picture.shape[:2]) >= cell:
                level.append((index, exact, picture))
                # Each level is made from the one before.
                smaller, step = _resize(picture, PYRAMID_STEP, methods[index])
                current[index] = smaller, exact * step
                scales[index] *= PYRAMID_STEP
        if not level:
            return
        yield level


def split(levels: Iterable[Level], pixels: int) -> Iterator[Level]:
    """Split levels so that their pictures, padded to one shape, have at most `pixels` together."""
    for level in levels:
        batch: Level = []
        for entry in level:
            shapes = [picture.shape[:2] for *_, picture in (*batch, entry)]
            if batch and len(shapes) * np.max(shapes, axis=0).prod() > pixels:
                yield batch
                batch = []
            batch.append(entry)
        yield batch


def stack(pictures: Sequence[np.ndarray], stride: int = 1, window: int = 1) -> np.ndarray:
    """Pictures of different sizes, padded with mid-grey → (B, H, W, 3) uint8.

    Args:
        pictures: (H, W, 3) uint8 each.
        stride: distance of windows; the last one that begins in a picture must be complete.
        window: side of a window.
    """
    height, width = (
        -(-side // stride) * stride - stride + window
        for side in np.max([p.shape[:2] for p in pictures], axis=0)
    )
    stacked = np.full((len(pictures), height, width, 3), 127, np.uint8)
    for target, picture in zip(stacked, pictures, strict=True):
        target[: picture.shape[0], : picture.shape[1]] = picture
    return stacked


def cut(pictures: np.ndarray, number: np.ndarray, start: np.ndarray, side: int) -> np.ndarray:
    """Square parts of pictures (B, H, W, 3) uint8 → (N, side, side, 3).

    Args:
        number: (N,) of each part's picture.
        start: (N, 2) corner (x, y) of each part.
        side: of a part in pixels.
    """
    count, height, width, _ = pictures.shape
    views = np.lib.stride_tricks.as_strided(
        pictures,
        (count, height - side + 1, width - side + 1, side, 3 * side),
        (*pictures.strides[:3], pictures.strides[1], 1),
        writeable=False,
    )
    parts: np.ndarray = views[number, start[:, 1], start[:, 0]].reshape(-1, side, side, 3)
    return parts


def normalise(pictures: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 → (B, 3, H, W) float32 in [−1, 1]."""
    return pictures.permute(0, 3, 1, 2).float().sub_(127.5).div_(128)


def resize_box(image: np.ndarray, box: np.ndarray, out: np.ndarray) -> None:
    """Resize the pixels under a square box, black beyond the border, into `out`."""
    (x1, y1), (x2, y2) = (
        np.floor(box[:2]).astype(int),
        np.maximum(np.ceil(box[2:]), box[:2] + 1).astype(int),
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
