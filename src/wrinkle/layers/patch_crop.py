"""From attention maps to patches of the picture, section III.C of the ADPF paper.

Each map is resized to the picture, the contour of its highlighted area is found, and the picture is
cropped to its bounding box.

The paper leaves open, and is chosen here: no side of a patch is shorter than a third of the
picture's side. A map is therefore first averaged over windows of that size, so that narrower
features, most of all at the border, do not decide. An area is then highlighted where the map is
nearer to its maximum than to its mean. Of several areas, the one with the largest sum of the map's
excess over its mean is used.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.layers.aligned_region_pooling import as_size, sample
from wrinkle.layers.exported_patch_boxes import SMALLEST, exported_patch_boxes

FULL_PICTURE = (-1.0, -1.0, 1.0, 1.0)


def patch_boxes(maps: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Return the bounding box of each map's highlighted area.

    Args:
        maps: (B, n, H, W), any range, negative values too; a map's offset and scale do not matter.
        size: side of the picture in pixels, or (height, width).

    Returns:
        (B, n, 4) float32 on the maps' device: x1, y1, x2, y2 in [−1, 1] of the picture. A map that
        is flat or has a value that is not finite gives the full picture.

    Raises:
        WrinkleError: another shape or size.
    """
    if maps.ndim != 4:
        raise WrinkleError(f"maps are (B, n, H, W), not {tuple(maps.shape)}")
    height, width = as_size(size)
    if torch.compiler.is_compiling():
        boxes = exported_patch_boxes(maps.flatten(0, 1), height, width)
        return boxes.view(*maps.shape[:2], 4)
    pictures = maps.detach().float().cpu().numpy().reshape(-1, *maps.shape[-2:])
    found = np.array([_box(each, height, width) for each in pictures], np.float32)
    return torch.from_numpy(found.reshape(*maps.shape[:2], 4)).to(maps.device)


def _box(attention: np.ndarray, height: int, width: int) -> tuple[float, ...]:
    low, high = float(attention.min()), float(attention.max())
    if not np.isfinite(high - low) or high == low:
        return FULL_PICTURE
    # Scaled to a range of 1, because squares and sums of huge values would overflow.
    windows = _window_means((attention / (high - low)).astype(np.float32))
    # Differences of a map of large values may be rounding errors only.
    if not np.ptp(windows) > 1e-6 * max(1.0, np.abs(windows).max()):
        return FULL_PICTURE
    reach = [w / side for w, side in zip(windows.shape, attention.shape, strict=True)]
    rows, columns = max(1, round(reach[0] * height)), max(1, round(reach[1] * width))
    resized = cv2.resize(windows, (columns, rows), interpolation=cv2.INTER_LINEAR)
    resized -= resized.mean()
    highlighted = (resized >= resized.max() / 2).astype(np.uint8)
    contours, _ = cv2.findContours(highlighted, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    weights = [_weight(resized, contour) for contour in contours]
    x, y, w, h = cv2.boundingRect(contours[int(np.argmax(weights))])
    x1, x2 = _side(x / columns, (x + w) / columns, reach[1])
    y1, y2 = _side(y / rows, (y + h) / rows, reach[0])
    return x1, y1, x2, y2


def _window_means(attention: np.ndarray) -> np.ndarray:
    """(H, W) → means over all windows of the smallest patch's size that are inside the map."""
    h, w = (max(1, round(SMALLEST * length)) for length in attention.shape)
    means = cv2.blur(attention, (w, h), anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)
    inside: np.ndarray = means[: attention.shape[0] - h + 1, : attention.shape[1] - w + 1]
    return inside


def _weight(resized: np.ndarray, contour: np.ndarray) -> float:
    """Sum of the map inside a contour."""
    x, y, w, h = cv2.boundingRect(contour)
    inside = np.zeros((h, w), np.uint8)
    cv2.drawContours(inside, [contour], 0, 1, cv2.FILLED, offset=(-x, -y))
    return float((resized[y : y + h, x : x + w] * inside).sum())


def _side(first: float, last: float, reach: float) -> tuple[float, float]:
    """An interval of window centres → an interval of the picture, in [−1, 1].

    Args:
        first, last: ends as shares, in [0, 1], of the range that the windows' centres cover.
        reach: that range over the picture's side.

    Returns:
        Both ends, widened to the shortest side and moved inside the picture.
    """
    middle, half = (first + last - 1) * reach, (last - first) * reach
    half = min(max(half, SMALLEST), 1.0)
    middle = min(max(middle, half - 1), 1 - half)
    return middle - half, middle + half


def patch_maps(boxes: Tensor) -> Tensor:
    """Return the affine maps from a patch's coordinates to the picture's.

    Args:
        boxes: (…, 4): x1, y1, x2, y2 in [−1, 1] of the picture.

    Returns:
        (…, 2, 3).
    """
    x1, y1, x2, y2 = boxes.unbind(-1)
    zero = torch.zeros_like(x1)
    rows = [(x2 - x1) / 2, zero, (x1 + x2) / 2], [zero, (y2 - y1) / 2, (y1 + y2) / 2]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def crop_patches(images: Tensor, maps: Tensor, size: int) -> Tensor:
    """Cut patches out of pictures, each sampled bilinearly to a square.

    Args:
        images: (B, 3, H, W). Beyond the border its pixels repeat.
        maps: (B, n, 2, 3), as `patch_maps` gives them; a patch may also be rotated.
        size: side of the patches in pixels.

    Returns:
        (B, n, 3, size, size).

    Raises:
        WrinkleError: another shape.
    """
    if maps.ndim != 4 or maps.shape[2:] != (2, 3) or maps.shape[0] != images.shape[0]:
        raise WrinkleError(
            f"{len(images)} pictures take maps ({len(images)}, n, 2, 3), not {tuple(maps.shape)}"
        )
    patches = [sample(images, each, as_size(size)) for each in maps.unbind(1)]
    return torch.stack(patches, 1)
