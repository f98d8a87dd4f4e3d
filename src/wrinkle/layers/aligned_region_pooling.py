"""Aligned Region Pooling, section 2.2 of "Deeply-learned Hybrid Representations for
Facial Age Estimation", IJCAI 2019 (the DHAA paper).

Points are normalised to [−1, 1], pixel centres at (2x + 1)/W − 1 (`align_corners=False`), as
Jaderberg et al., "Spatial Transformer Networks", NeurIPS 2015, do.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wrinkle.errors import WrinkleError

Fit = Literal["affine", "similarity"]

FARTHEST = 4.0
"""A key point beyond this, two widths of the picture away from it, is not believed."""
FLATTEST = 1e-3
"""Points whose scatter has axes in a ratio of less than half of this lie on a line."""
NEAREST = 1e-6
"""Points with a smaller mean squared distance from their middle coincide."""


class AlignedRegionPooling(nn.Module):
    """Moves source key points onto target points and samples the features there.

    target_points: (m, 2), the q of Eq. 1, in [−1, 1] of the region; m ≥ 3 for "affine", ≥ 2 for
    "similarity", not on one line. output_size: side of the region in pixels, or (h, w).
    fit: the family of T in Eq. 1, by least squares in closed form.

    Where the source points lie on a line (or the fitted map would crush the picture onto one), a
    similarity takes the affine map's place; where they coincide, are not finite or lie farther
    than 4 from the middle, the identity does. `fallbacks` counts both.

    WrinkleError for targets, sizes or inputs of another shape.

    >>> corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [0.0, 1.0]])
    >>> pool = AlignedRegionPooling(corners, 2)
    >>> pool(torch.eye(4)[None, None], corners[None])  # points where they belong: a plain resize
    tensor([[[[0.5000, 0.0000],
              [0.0000, 0.5000]]]])
    """

    target_points: Tensor

    fallbacks: Tensor
    """(2,) int64: faces so far that got a similarity, and the identity, for want of good points."""

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
        # No buffer: several processes would overwrite each other's counts.
        self.fallbacks = torch.zeros(2, dtype=torch.int64)

    def forward(self, features: Tensor, key_points: Tensor) -> Tensor:
        """features (B, C, H, W), key_points (B, m, 2) in [−1, 1] → (B, C, h, w).

        Pixels beyond the features' border repeat it. Differentiable in both arguments.
        """
        return sample(features, self.inverse_maps(key_points), self.output_size)

    def inverse_maps(self, key_points: Tensor) -> Tensor:
        """(B, 2, 3): region coordinates (x, y, 1) → picture coordinates, the inverse of M_A.

        key_points: the p of Eq. 1, (B, m, 2), any floating type; computed in float32 at least.
        """
        q = self.target_points
        if key_points.ndim != 3 or key_points.shape[1:] != q.shape:
            raise WrinkleError(
                f"key points are (B, {len(q)}, 2) here, not {tuple(key_points.shape)}"
            )
        p = key_points.to(torch.promote_types(key_points.dtype, torch.float32))
        q = q.to(p.dtype).expand_as(p)
        believed = (p.abs() <= FARTHEST).flatten(1).all(1)  # False for NaN too
        # A row of targets maps to itself: the identity, and gradients that are numbers.
        p = torch.where(believed[:, None, None], p, q)
        p_middle, q_middle = p.mean(1, keepdim=True), q.mean(1, keepdim=True)
        linear, similar, identical = self._inverse_linear(p - p_middle, q - q_middle)
        identical = identical | ~believed
        self._count(similar & ~identical, identical)
        shift = p_middle - _product(q_middle, linear.mT)
        whole = torch.cat([linear, shift.mT], -1)
        identity = torch.eye(2, 3, dtype=p.dtype, device=p.device)
        return torch.where(identical[:, None, None], identity, whole)

    def _inverse_linear(self, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The inverse of M_A's linear part for centred points, and which rows fell back how far.

        Setting the derivative of Eq. 1 to zero gives A = S_qp S_pp⁻¹, so A⁻¹ = S_pp S_qp⁻¹.
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
        counts = torch.stack([similar.sum(), identical.sum()])
        self.fallbacks = self.fallbacks.to(counts.device) + counts


def sample(features: Tensor, inverse_maps: Tensor, output_size: tuple[int, int]) -> Tensor:
    """Bilinear samples (B, C, h, w) of features (B, C, H, W) at mapped region coordinates.

    inverse_maps: (B, 2, 3), region → picture, both in [−1, 1]. The border repeats beyond itself.
    """
    check_features(features, len(inverse_maps))
    shape = [*features.shape[:2], *output_size]
    with torch.autocast(features.device.type, enabled=False):
        grid = F.affine_grid(inverse_maps, shape, align_corners=False)
        # In half precision a coordinate would be off by a tenth of a pixel.
        dtype = torch.promote_types(features.dtype, grid.dtype)
        regions = F.grid_sample(
            features.to(dtype), grid.to(dtype), padding_mode="border", align_corners=False
        )
    return regions.to(features.dtype)


def check_features(features: Tensor, faces: int) -> None:
    """WrinkleError unless features is (B, C, H, W) for `faces` faces."""
    if features.ndim != 4 or len(features) != faces:
        raise WrinkleError(
            f"features are (B, C, H, W) for {faces} faces, not {tuple(features.shape)}"
        )


def as_size(output_size: int | tuple[int, int]) -> tuple[int, int]:
    """(h, w) of a side or a pair; WrinkleError below 1 pixel."""
    sides = (output_size, output_size) if isinstance(output_size, int) else output_size
    whole = isinstance(sides, tuple) and [type(side) for side in sides] == [int, int]
    if not whole or min(sides) < 1:
        raise WrinkleError(
            f"output_size is {output_size}; give a whole number of pixels, at least 1 pixel a "
            "side, or (h, w)"
        )
    return sides


def _product(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product (…, n, k), (…, k, l) → (…, n, l), which autocast leaves in float32."""
    return (a[..., :, :, None] * b[..., None, :, :]).sum(-2)


def _flatness(s: Tensor) -> Tensor:
    """det S over half its squared Frobenius norm, (…, 2, 2) → (…): ±1 where both axes count alike,
    0 where one of them does not count at all."""
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
    """Where centred points (B, m, 2) are all the same, up to `NEAREST`: (B,)."""
    return p.square().sum(2).mean(1) <= NEAREST


def _inverse_similarity(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """Linear part of the inverse similarity for centred points, and where it is not defined.

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
