"""`patch_boxes` in tensor operations, for networks that are exported.

OpenCV's contours have no counterpart in ONNX. Here the pixels of each highlighted area get a common
label: the largest index in it, found by repeated steps to the neighbours and to the pixel that a
label names, until nothing changes. The result is that of `wrinkle.layers.patch_crop.patch_boxes`,
but for a pixel whose value is within rounding of the threshold. It is slower, most of all in
PyTorch.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST = 1 / 3
"""Ratio of a patch's shortest side to the picture's side."""


def exported_patch_boxes(maps: Tensor, height: int, width: int) -> Tensor:
    """Return the bounding box of each map's highlighted area.

    Args:
        maps: (M, H, W), any range.
        height, width: of the picture in pixels.

    Returns:
        (M, 4) float32: x1, y1, x2, y2 in [−1, 1] of the picture, as `patch_boxes` gives them.
    """
    maps = maps.detach().float()
    extent = maps.amax((1, 2)) - maps.amin((1, 2))
    valid = extent.isfinite() & (extent > 0)
    scaled = maps / torch.where(valid, extent, 1)[:, None, None]
    sides = maps.shape[1:]
    window = [max(1, round(SMALLEST * side)) for side in sides]
    windows = F.avg_pool2d(scaled[:, None], window, 1)
    reach = [w / side for w, side in zip(windows.shape[2:], sides, strict=True)]
    rows, columns = max(1, round(reach[0] * height)), max(1, round(reach[1] * width))
    spread = windows.amax((1, 2, 3)) - windows.amin((1, 2, 3))
    valid = valid & (spread > 1e-6 * windows.abs().amax((1, 2, 3)).clamp_min(1))
    resized = F.interpolate(windows, (rows, columns), mode="bilinear")[:, 0]
    resized = resized - resized.mean((1, 2), keepdim=True)
    area = largest_area(resized, resized >= resized.amax((1, 2), keepdim=True) / 2)
    x1, x2 = _ends(area.amax(1), reach[1])
    y1, y2 = _ends(area.amax(2), reach[0])
    full_picture = torch.tensor([-1.0, -1.0, 1.0, 1.0], device=maps.device)
    return torch.where(valid[:, None], torch.stack([x1, y1, x2, y2], 1), full_picture)


def largest_area(values: Tensor, highlighted: Tensor) -> Tensor:
    """Choose the area with the largest sum of values, holes included.

    Args:
        values: (M, H, W).
        highlighted: (M, H, W) bool; pixels that touch, corners included, are one area.

    Returns:
        (M, H, W) float32: 1 in the chosen area and its holes, 0 elsewhere.
    """
    background = F.pad((~highlighted).float(), (1, 1, 1, 1), value=1.0)
    labels = label_areas(background, corners=False)
    inner = labels[:, 1:-1, 1:-1]
    filled = (inner != labels[:, -1:, -1:]).float()  # the border's label is the largest index
    labels = label_areas(filled, corners=True).flatten(1)
    none = torch.zeros_like(labels[:, :1], dtype=torch.float32).expand(-1, labels.shape[1] + 1)
    sums = none.scatter_add(1, labels, values.flatten(1))
    pixels = none.scatter_add(1, labels, torch.ones_like(values).flatten(1))
    unused = (pixels == 0) | (torch.arange(pixels.shape[1], device=pixels.device) == 0)
    best = sums.masked_fill(unused, -torch.inf).argmax(1, keepdim=True)
    return (labels == best).float().view_as(values)


def label_areas(mask: Tensor, corners: bool) -> Tensor:
    """Number the connected areas of masks.

    Args:
        mask: (M, H, W) float32, 1 inside the areas, 0 elsewhere.
        corners: whether pixels that touch at a corner are connected.

    Returns:
        (M, H, W) int64: for a pixel of an area the largest index in it, counted from 1 row by row;
        0 elsewhere.
    """
    from torch._higher_order_ops import while_loop  # only export needs it

    height, width = mask.shape[1:]
    index = torch.arange(1.0, height * width + 1, device=mask.device).view(height, width)
    first = mask * index

    def unfinished(labels: Tensor, earlier: Tensor, mask: Tensor) -> Tensor:
        return (labels != earlier).any()

    def step(labels: Tensor, earlier: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if corners:
            near = F.max_pool2d(labels[:, None], 3, 1, 1)[:, 0]
        else:
            across = F.max_pool2d(labels[:, None], (1, 3), 1, (0, 1))
            near = torch.maximum(across, F.max_pool2d(labels[:, None], (3, 1), 1, (1, 0)))[:, 0]
        near = (near * mask).flatten(1)
        named = F.pad(near, (1, 0)).gather(1, near.long()).view_as(labels)
        return named, labels.clone(), mask.clone()

    labels: Tensor = while_loop(unfinished, step, (first, first - 1, mask))[0]
    return labels.long()


def _ends(inside: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Rows or columns (M, L) of an area, 1 inside, → both ends in [−1, 1] of the picture."""
    count = inside.shape[1]
    index = torch.arange(count, device=inside.device)
    first = torch.where(inside > 0, index, count).amin(1) / count
    last = (torch.where(inside > 0, index, -1).amax(1) + 1) / count
    half = ((last - first) * reach).clamp(SMALLEST, 1.0)
    middle = torch.minimum(torch.maximum((first + last - 1) * reach, half - 1), 1 - half)
    return middle - half, middle + half
