"""Aligned Region Pooling, section 2.2 of the DHAA paper.

"Deeply-learned Hybrid Representations for Facial Age Estimation", IJCAI 2019. Points are normalised
to [−1, 1] with pixel centres at (2x + 1)/W − 1 (`align_corners=False`), as in Jaderberg et al.,
"Spatial Transformer Networks", NeurIPS 2015.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wrinkle.console import count
from wrinkle.errors import WrinkleError

Fit = Literal["affine", "similarity"]

FARTHEST = 4.0
"""Largest coordinate of a key point, two picture widths from the middle; others are invalid."""
FLATTEST = 1e-3
"""Points are collinear if the ratio of their scatter's axes is less than half of this."""
NEAREST = 1e-6
"""Points coincide if their mean squared distance from their mean is at most this."""


class AlignedRegionPooling(nn.Module):
    """Samples features so that source key points are moved onto target points.

    The map from source to target points is fitted by least squares in closed form. If the source
    points are collinear, or the fitted map is singular, a similarity replaces the affine map. If
    they coincide, are not finite or have a coordinate beyond ±4, the identity is used. `fallbacks`
    counts both.

    Args:
        target_points: (m, 2), the q of Eq. 1, in [−1, 1] of the region; not collinear; m ≥ 3 for
            "affine", m ≥ 2 for "similarity".
        output_size: side of the region in pixels, or (h, w).
        fit: the family of T in Eq. 1.

    Raises:
        WrinkleError: target points, size or fit are invalid; in `forward`, inputs of another shape.

    Example:
        >>> corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [0.0, 1.0]])
        >>> pool = AlignedRegionPooling(corners, 2)
        >>> pool(torch.eye(4)[None, None], corners[None])  # source = target: a plain resize
        tensor([[[[0.5000, 0.0000],
                  [0.0000, 0.5000]]]])
    """

    target_points: Tensor

    fallbacks: Tensor
    """(2,) int64: number of faces so far for which a similarity, and the identity, was used."""

    def __init__(
        self, target_points: Tensor, output_size: int | tuple[int, int], fit: Fit = "affine"
    ) -> None:
        super().__init__()
        if fit not in get_args(Fit):
            raise WrinkleError(f"fit is {fit!r}; choices: {', '.join(get_args(Fit))}")
        target = torch.as_tensor(target_points)
        least = 3 if fit == "affine" else 2
        if target.ndim != 2 or target.shape[1] != 2 or len(target) < least:
            raise WrinkleError(
                f"target points are (m, 2), m at least {least} for fit {fit}, not "
                f"{tuple(target.shape)}"
            )
        middle = target.double() - target.double().mean(0)
        flat = (
            _flatness(_product(middle.T, middle)) <= FLATTEST
            if fit == "affine"
            else not middle.any()
        )
        if not target.isfinite().all() or flat:
            raise WrinkleError("target points must be finite and not lie on one line")
        self.output_size = as_size(output_size)
        self.fit = fit
        self.register_buffer("target_points", target, persistent=False)
        # Not a buffer, because several processes would overwrite each other's counts.
        self.fallbacks = torch.zeros(2, dtype=torch.int64)

    def forward(self, features: Tensor, key_points: Tensor) -> Tensor:
        """Pool the region of each face; differentiable in both arguments.

        Args:
            features: (B, C, H, W). Beyond the border its pixels repeat.
            key_points: (B, m, 2) in [−1, 1], the p of Eq. 1.

        Returns:
            (B, C, h, w).
        """
        return sample(features, self.inverse_maps(key_points), self.output_size)

    def inverse_maps(self, key_points: Tensor) -> Tensor:
        """Return the maps from region coordinates (x, y, 1) to the picture's, the inverse of M_A.

        Args:
            key_points: (B, m, 2), the p of Eq. 1, any floating type; computed in float32 at least.

        Returns:
            (B, 2, 3).
        """
        q = self.target_points
        if key_points.ndim != 3 or key_points.shape[1:] != q.shape:
            raise WrinkleError(
                f"key points are (B, {len(q)}, 2) here, not {tuple(key_points.shape)}"
            )
        p = key_points.to(torch.promote_types(key_points.dtype, torch.float32))
        q = q.to(p.dtype).expand_as(p)
        valid = (p.abs() <= FARTHEST).flatten(1).all(1)  # False for NaN too
        # Invalid rows are replaced by the targets, which gives the identity and finite gradients.
        p = torch.where(valid[:, None, None], p, q)
        p_middle, q_middle = p.mean(1, keepdim=True), q.mean(1, keepdim=True)
        linear, similar, identical = self._inverse_linear(p - p_middle, q - q_middle)
        identical = identical | ~valid
        self._count(similar & ~identical, identical)
        shift = p_middle - _product(q_middle, linear.mT)
        fitted = torch.cat([linear, shift.mT], -1)
        identity = torch.eye(2, 3, dtype=p.dtype, device=p.device)
        return torch.where(identical[:, None, None], identity, fitted)

    def _inverse_linear(self, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The inverse of M_A's linear part for centred points p and q (B, m, 2).

        Setting the derivative of Eq. 1 to zero gives A = S_qp S_pp⁻¹, so A⁻¹ = S_pp S_qp⁻¹.

        Returns:
            (B, 2, 2), and the rows (B,) for which a similarity and the identity are used.
        """
        linear, coincident = _inverse_similarity(p, q)
        if self.fit == "similarity":
            return linear, torch.zeros_like(coincident), coincident
        s_pp, s_qp = _product(p.mT, p), _product(q.mT, p)
        flat = (_flatness(s_pp) <= FLATTEST) | (_flatness(s_qp).abs() <= FLATTEST) | _coincide(p)
        unit = torch.eye(2, dtype=p.dtype, device=p.device)
        s_qp = torch.where(flat[:, None, None], unit, s_qp)
        affine = _product(s_pp, _inverse_2x2(s_qp))
        return torch.where(flat[:, None, None], linear, affine), flat, flat & coincident

    @torch.no_grad()
    def _count(self, similar: Tensor, identical: Tensor) -> None:
        if torch.compiler.is_compiling():
            return
        counts = torch.stack([similar.sum(), identical.sum()])
        self.fallbacks = self.fallbacks.to(counts.device) + counts


def sample(features: Tensor, inverse_maps: Tensor, output_size: tuple[int, int]) -> Tensor:
    """Sample features bilinearly at mapped region coordinates.

    Args:
        features: (B, C, H, W). Beyond the border its pixels repeat.
        inverse_maps: (B, 2, 3) from region to picture, both in [−1, 1].
        output_size: (h, w) in pixels.

    Returns:
        (B, C, h, w).

    Raises:
        WrinkleError: features of another shape.
    """
    check_features(features, inverse_maps.shape[0])
    shape = [*features.shape[:2], *output_size]
    with torch.autocast(features.device.type, enabled=False):
        grid = F.affine_grid(inverse_maps, shape, align_corners=False)
        # Half precision would shift coordinates by a tenth of a pixel.
        dtype = torch.promote_types(features.dtype, grid.dtype)
        regions = F.grid_sample(
            features.to(dtype), grid.to(dtype), padding_mode="border", align_corners=False
        )
    return regions.to(features.dtype)


def check_features(features: Tensor, faces: int) -> None:
    """Check the shape of features.

    Raises:
        WrinkleError: they are not (B, C, H, W) with B = `faces`.
    """
    if features.ndim != 4 or features.shape[0] != faces:
        raise WrinkleError(
            f"features are (B, C, H, W) for {count(faces, 'face')}, not {tuple(features.shape)}"
        )


def as_size(output_size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (h, w) of a side or of a pair.

    Raises:
        WrinkleError: a side is below 1 pixel or not an integer.
    """
    sides = (output_size, output_size) if isinstance(output_size, int) else output_size
    integers = isinstance(sides, tuple) and [type(side) for side in sides] == [int, int]
    if not integers or min(sides) < 1:
        raise WrinkleError(
            f"output_size is {output_size}; give an integer side of at least 1 pixel, or (h, w)"
        )
    return sides


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product (…, n, k), (…, k, l) → (…, n, l), which autocast leaves in float32."""
    return (a[..., :, :, None] * b[..., None, :, :]).sum(-2)


def _flatness(s: Tensor) -> Tensor:
    """det S over half its squared Frobenius norm, (…, 2, 2) → (…): ±1 if both axes are equal, 0 if
    one of them is 0."""
    norm = s.square().sum((-2, -1)) / 2
    return _determinant(s) / norm.clamp_min(torch.finfo(s.dtype).tiny)


def _determinant(s: Tensor) -> Tensor:
    return s[..., 0, 0] * s[..., 1, 1] - s[..., 0, 1] * s[..., 1, 0]


def _inverse_2x2(s: Tensor) -> Tensor:
    adjugate = torch.stack(
        [
            torch.stack([s[..., 1, 1], -s[..., 0, 1]], -1),
            torch.stack([-s[..., 1, 0], s[..., 0, 0]], -1),
        ],
        -2,
    )
    return adjugate / _determinant(s)[..., None, None]


def _coincide(p: Tensor) -> Tensor:
    """Whether centred points (B, m, 2) are all the same, up to `NEAREST`: (B,)."""
    return p.square().sum(2).mean(1) <= NEAREST


def _inverse_similarity(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """Linear part (B, 2, 2) of the inverse similarity for centred points, and where undefined (B,).

    As complex numbers the map is a = Σ q p̄ / Σ |p|², hence 1/a = Σ |p|² / Σ q p̄.
    """
    re = (q * p).sum((1, 2))
    im = (q[..., 1] * p[..., 0] - q[..., 0] * p[..., 1]).sum(1)
    spread_p, spread_q = p.square().sum((1, 2)), q.square().sum((1, 2))
    product = re.square() + im.square()
    undefined = _coincide(p) | (product <= FLATTEST * spread_p * spread_q)
    factor = spread_p / torch.where(undefined, 1, product)
    re, im = re * factor, im * factor
    linear = torch.stack([torch.stack([re, im], -1), torch.stack([-im, re], -1)], -2)
    return linear, undefined
