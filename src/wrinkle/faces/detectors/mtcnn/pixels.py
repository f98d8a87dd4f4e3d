"""Pixels for MTCNN's networks: image pyramids, batches of unequal pictures, crops under boxes."""

from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

PYRAMID_STEP = 0.709
"""Ratio of neighbouring pyramid levels: half the area."""
Level = list[tuple[int, np.ndarray, np.ndarray]]
"""Of each photograph: its index, the level's scale (x, y), and the resized picture."""


def shrink(image: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """A picture made smaller by about `scale`, if that is below 1, and its exact scale (x, y)."""
    height, width = image.shape[:2]
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    if scale >= 1:
        return image, np.ones(2)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.array(size) / (width, height)


def pyramids(images: Sequence[np.ndarray], smallest: Sequence[float], cell: int) -> Iterator[Level]:
    """Pyramids of all photographs, level by level, the finest first.

    Args:
        smallest: of each photograph, the side in pixels of the smallest face to find.
        cell: side to which the finest level scales such a face; no level is smaller than that.
    """
    current = list(images)
    scales = [cell / s for s in smallest]
    step = 0
    while True:
        level = []
        for index, image in enumerate(images):
            height, width = image.shape[:2]
            scale = scales[index] * PYRAMID_STEP**step
            size = (round(width * scale), round(height * scale))
            if min(size) < cell:
                continue
            # Each level is made from the one before: the photograph itself is read once.
            current[index] = cv2.resize(current[index], size, interpolation=cv2.INTER_AREA)
            level.append((index, np.array(size) / (width, height), current[index]))
        if not level:
            return
        yield level
        step += 1


def split(levels: Iterable[Level], pixels: int) -> Iterator[Level]:
    """Split levels so that their pictures, padded to one shape, have at most `pixels` together."""
    for level in levels:
        batch: Level = []
        for entry in level:
            shapes = [resized.shape[:2] for _, _, resized in (*batch, entry)]
            if batch and len(shapes) * np.max(shapes, axis=0).prod() > pixels:
                yield batch
                batch = []
            batch.append(entry)
        yield batch


def stack(pictures: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """Pictures of different sizes, padded with mid-grey → (B, 3, H, W) in [−1, 1]."""
    height, width = np.max([p.shape[:2] for p in pictures], axis=0)
    stacked = np.full((len(pictures), height, width, 3), 127, np.uint8)
    for target, picture in zip(stacked, pictures, strict=True):
        target[: picture.shape[0], : picture.shape[1]] = picture
    return normalise(torch.from_numpy(stacked).to(device))


def normalise(pictures: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 → (B, 3, H, W) float32 in [−1, 1]."""
    return (pictures.permute(0, 3, 1, 2).float() - 127.5) / 128


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
