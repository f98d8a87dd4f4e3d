"""From attention maps to patches of the picture, section III.C of the ADPF paper: each map is
resized to the picture, the contour of its highlighted area found, and the picture cropped there.

Open in the paper, chosen here: an area is highlighted where the map is nearer to its maximum than
to its mean; of several areas the one with the largest sum of the map's excess over its mean counts;
no side is shorter than a third of the picture's.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.layers.aligned_region_pooling import as_size, sample

SMALLEST = 1 / 3
"""Shortest side of a patch over the picture's."""


def patch_boxes(maps: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Bounding box of each map's highlighted area, found at the picture's `size` in pixels.

    maps: (B, n, H, W), any range, negative values too: only the shape of a map counts.
    size: side of the picture, or (height, width). WrinkleError for another shape or size.

    Returns (B, n, 4): x1, y1, x2, y2 in [−1, 1] of the picture, float32, on the maps' device.
    A map that is flat, or holds what is no number, highlights nothing: its patch is the picture.
    """
    if maps.ndim != 4:
        raise WrinkleError(f"maps are (B, n, H, W), not {tuple(maps.shape)}")
    height, width = as_size(size)
    pictures = maps.detach().float().cpu().numpy().reshape(-1, *maps.shape[-2:])
    boxes = np.array([_box(each, height, width) for each in pictures], np.float32)
    return torch.from_numpy(boxes.reshape(*maps.shape[:2], 4)).to(maps.device)


def _box(attention: np.ndarray, height: int, width: int) -> tuple[float, ...]:
    low, high = float(attention.min()), float(attention.max())
    # Flat up to rounding, which a map of large values may have instead of a shape.
    if not high - low > 1e-6 * max(abs(low), abs(high)) or not np.isfinite(high - low):
        return -1.0, -1.0, 1.0, 1.0
    # A range of 1 first: the squares and sums of huge values would overflow.
    scaled = (attention / (high - low)).astype(np.float32)
    resized = cv2.resize(scaled, (width, height), interpolation=cv2.INTER_LINEAR)
    resized -= resized.mean()
    lit = (resized >= resized.max() / 2).astype(np.uint8)
    contours, _ = cv2.findContours(lit, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    weights = [_weight(resized, contour) for contour in contours]
    x, y, w, h = cv2.boundingRect(contours[int(np.argmax(weights))])
    x1, x2 = _side(x, x + w, width)
    y1, y2 = _side(y, y + h, height)
    return x1, y1, x2, y2


def _weight(resized: np.ndarray, contour: np.ndarray) -> float:
    """What of the map lies within a contour."""
    x, y, w, h = cv2.boundingRect(contour)
    inside = np.zeros((h, w), np.uint8)
    cv2.drawContours(inside, [contour], 0, 1, cv2.FILLED, offset=(-x, -y))
    return float((resized[y : y + h, x : x + w] * inside).sum())


def _side(first: float, last: float, length: int) -> tuple[float, float]:
    """Pixels [first, last) of `length` → [−1, 1], widened to the shortest side, in the picture."""
    least = SMALLEST * length
    if last - first < least:
        middle = min(max((first + last) / 2, least / 2), length - least / 2)
        first, last = middle - least / 2, middle + least / 2
    return 2 * first / length - 1, 2 * last / length - 1


def patch_maps(boxes: Tensor) -> Tensor:
    """Boxes (…, 4) in [−1, 1] → (…, 2, 3) maps from a patch's coordinates to the picture's."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    zero = torch.zeros_like(x1)
    rows = [(x2 - x1) / 2, zero, (x1 + x2) / 2], [zero, (y2 - y1) / 2, (y1 + y2) / 2]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def crop_patches(images: Tensor, maps: Tensor, size: int) -> Tensor:
    """Patches of pictures, each resized to `size` pixels square, bilinearly.

    images: (B, 3, H, W). maps: (B, n, 2, 3), of `patch_maps`; a patch may be turned too, and the
    picture's border repeats beyond it. Returns (B, n, 3, size, size). WrinkleError on other shapes.
    """
    if maps.ndim != 4 or maps.shape[2:] != (2, 3) or len(maps) != len(images):
        raise WrinkleError(
            f"{len(images)} pictures take maps ({len(images)}, n, 2, 3), not {tuple(maps.shape)}"
        )
    patches = [sample(images, each, as_size(size)) for each in maps.unbind(1)]
    return torch.stack(patches, 1)
