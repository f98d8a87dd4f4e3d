"""Face alignment: the positions of the key points, affine maps, and the warp of the pixels.

An affine map is a (…, 2, 3) matrix from pixel coordinates (x, y, 1) to pixel coordinates; pixel i
covers [i, i + 1), so its centre is at i + 0.5. Alignment, scaling, augmentation and mirroring are
all matrices. They are composed first, then applied to the pixels once, by `warp`.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from wrinkle.errors import ImageError, WrinkleError

TEMPLATE_VERSION = 1
TEMPLATE = np.array([[-0.4, -0.41], [0.4, -0.41], [0.0, 0.05], [-0.35, 0.38], [0.35, 0.38]])
"""(5, 2) in [−1, 1]: the key points of an aligned face, about as in UTKFace's crops."""
MIRRORED = [1, 0, 2, 4, 3]
"""The order of the five key points after mirroring: left and right are swapped."""
MIRRORED_68 = [
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *range(54, 47, -1),
    *range(59, 54, -1),
    *range(64, 59, -1),
    *(67, 66, 65),
]
"""The same for iBUG's 68 landmarks."""
CROP_MARGIN = 1.3
"""Side of the stored face crop over side of a model's view at zoom 1; a margin to augment."""


def mirror_order(count: int) -> list[int]:
    """The order of `count` key points after mirroring the picture.

    Raises:
        WrinkleError: `count` is neither 5 nor 68.
    """
    orders = {5: MIRRORED, 68: MIRRORED_68}
    if count not in orders:
        raise WrinkleError(f"{count} key points per face: give 5, or 68 in iBUG's order")
    return orders[count]


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rotation, scale and shift that map source to target points with least squared error.

    Args:
        source: (…, m, 2) points, m ≥ 2.
        target: (…, m, 2) points; leading dimensions broadcast.

    Returns:
        (…, 2, 3) float64. Coincident source points give a pure shift by the difference of means.
    """
    p, q = (np.asarray(points, np.float64) @ (1, 1j) for points in (source, target))
    origin = p[..., :1]  # coincident points then have a mean, and a spread, of exactly zero
    p_mean, q_mean = (p - origin).mean(-1, keepdims=True) + origin, q.mean(-1, keepdims=True)
    spread = (np.abs(p - p_mean) ** 2).sum(-1)
    product = (np.conj(p - p_mean) * (q - q_mean)).sum(-1)
    # Points closer than 1e-100 also count as coincident: the division would overflow.
    turn = np.divide(product, spread, out=np.ones_like(product), where=spread > 1e-200)
    shift = q_mean[..., 0] - turn * p_mean[..., 0]
    rows = [turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The (…, 2, 3) map that applies `inner` first, then `outer`."""
    linear = outer[..., :2] @ inner[..., :2]
    shift = outer[..., :2] @ inner[..., 2:] + outer[..., 2:]
    return np.concatenate([linear, shift], -1)


def invert(matrix: np.ndarray) -> np.ndarray:
    """Inverse of (…, 2, 3) affine maps."""
    linear = np.linalg.inv(matrix[..., :2])
    return np.concatenate([linear, -linear @ matrix[..., 2:]], -1)


def transform(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply (…, 2, 3) maps to (…, m, 2) points."""
    moved: np.ndarray = points @ np.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2]
    return moved


def view_matrix(key_points: np.ndarray, size: int, zoom: float = 1.0) -> np.ndarray:
    """Map from a picture's pixels to a model's square input of `size` pixels.

    Args:
        key_points: (…, 5, 2) in the picture's pixels.
        zoom: 1 shows the face as `TEMPLATE` has it, 0.8 a wider view.
    """
    return similarity(key_points, (TEMPLATE * zoom + 1) * size / 2)


def crop_face(
    image: np.ndarray, key_points: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut an upright square around a face, with a margin, repeating the picture's border beyond it.

    Args:
        image: (H, W, 3) uint8.
        key_points: (5, 2) in the image's pixels.
        size: side of the crop in pixels.

    Returns:
        The crop (size, size, 3) uint8, and the (2, 3) float64 map from image to crop pixels. A face
        outside the picture gives a crop of the repeated border.

    Raises:
        ImageError: the key points are not numbers, or cannot be those of a face.
    """
    view = view_matrix(np.clip(key_points, -1e9, 1e9), 1)
    if not np.isfinite(view).all() or np.hypot(*view[:, 0]) < 1e-12:
        raise ImageError("no face can be cut out: its key points are not those of a face")
    view_to_image = invert(view)
    side = CROP_MARGIN * np.hypot(*view_to_image[:, 0])
    height, width = image.shape[:2]
    side = max(round(min(side, 4 * min(height, width))), 1)
    corner = np.round(transform(view_to_image, np.array([[0.5, 0.5]]))[0] - side / 2)
    x, y = np.clip(corner, 1 - side, [width - 1, height - 1]).astype(int).tolist()
    inside = image[max(y, 0) : y + side, max(x, 0) : x + side]
    edges = max(-y, 0), max(y + side - height, 0), max(-x, 0), max(x + side - width, 0)
    if any(edges):
        inside = cv2.copyMakeBorder(inside, *edges, cv2.BORDER_REPLICATE)
    method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    scale = size / side
    matrix = np.array([[scale, 0, -x * scale], [0, scale, -y * scale]])
    return cv2.resize(inside, (size, size), interpolation=method), matrix


def warp(images: Tensor, matrices: Tensor, size: int) -> Tensor:
    """Sample square pictures through affine maps, bilinearly, the border repeated.

    Args:
        images: (B, 3, H, W), uint8 or float.
        matrices: (B, 2, 3) from image pixels to output pixels.
        size: side of the output in pixels.

    Returns:
        (B, 3, size, size) float32 in the images' range, on the images' device.
    """
    if images.device.type == "cpu":
        return _warp_on_cpu(images, matrices, size)
    height, width = images.shape[-2:]
    # Output [−1, 1] → output pixels → image pixels → image [−1, 1], all in float64.
    linear = torch.linalg.inv(matrices[:, :, :2].double())
    shift = -linear @ matrices[:, :, 2:].double() + linear.sum(-1, keepdim=True) * size / 2
    to_unit = torch.tensor([2 / width, 2 / height], dtype=torch.float64, device=matrices.device)
    theta = torch.cat([linear * size / 2, shift], -1) * to_unit[:, None]
    theta[:, :, 2] -= 1
    shape = [len(images), images.shape[1], size, size]
    grid = F.affine_grid(theta.to(images.device, torch.float32), shape, align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)


def _warp_on_cpu(images: Tensor, matrices: Tensor, size: int) -> Tensor:
    """As `warp`, by OpenCV, in a fifth of the time; in channels-last memory."""
    pixels = images.permute(0, 2, 3, 1).to(torch.float32).contiguous().numpy()
    # OpenCV's coordinates are 0 at the centre of the first pixel.
    centred = matrices.double().numpy().copy()
    centred[:, :, 2] += (centred[:, :, :2].sum(-1) - 1) / 2
    warped = np.empty((len(pixels), size, size, pixels.shape[3]), np.float32)
    for picture, matrix, out in zip(pixels, centred, warped, strict=True):
        cv2.warpAffine(picture, matrix, (size, size), out, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(warped).permute(0, 3, 1, 2)


def face_input(
    crops: Tensor, matrices: Tensor, size: int, mean: Sequence[float], std: Sequence[float]
) -> Tensor:
    """A network's input: face crops, warped, scaled to [0, 1] and normalised.

    Args:
        crops: (B, S, S, 3) uint8 RGB.
        matrices: (B, 2, 3) from crop pixels to input pixels.
        mean: of each channel, in [0, 1].
        std: as `mean`.

    Returns:
        (B, 3, size, size) float32 in channels-last memory, on the crops' device.
    """
    pixels = warp(crops.permute(0, 3, 1, 2), matrices, size)
    # Over whole rows: a loop over three channels at a time takes ten times as long.
    rows = pixels.permute(0, 2, 3, 1).reshape(len(pixels), size, -1)
    shift, scale = (
        255 * torch.tensor(v, dtype=torch.float32, device=crops.device).repeat(size)
        for v in (mean, std)
    )
    return rows.sub_(shift).div_(scale).view(-1, size, size, 3).permute(0, 3, 1, 2)
