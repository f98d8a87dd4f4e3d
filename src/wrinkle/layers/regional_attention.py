"""Attention maps that sum to one, each within its head's region of the picture, and their boxes.

Not in the ADPF paper, whose maps have any sign and scale (section III.A): a high value there is not
attention, and a head's highest value is at another part of each face. Here a map is

    M_n = softmax over positions of (HA_n − mean) / deviation − r_n² / 2,

in which mean and deviation are over the positions of HA_n, and r_n is the distance from the
middle of the head's region in units of its radii. The region is learnt; it lies on the vertical
axis of the face, because only such a region is the same in the mirror image.
"""

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError

FARTHEST = 0.5
"""The regions' middles are, and start evenly, within ± this share of half the picture's height."""
NARROW, WIDE = (0.2, 0.2), (0.4, 0.25)
"""Radii (x, y) at the start, of the heads in turn, as shares of half the picture's side."""
RADII = (1 / 6, 1 / 2)
"""Smallest and largest radius of a region, as NARROW."""
HALF_SIDES = (1 / 3, 1 / 2)
"""Smallest and largest half of a box's side, as NARROW."""
DEVIATIONS = 1.5
"""Standard deviations of the attention's positions in half of a box's side."""


class RegionalAttention(nn.Module):
    """Normalises maps of n heads to attention within their regions.

    Args:
        heads: n, at least 1.

    Raises:
        WrinkleError: no heads; in `forward`, maps of another shape.

    Example:
        >>> attention = RegionalAttention(2)
        >>> maps = attention(torch.randn(1, 2, 8, 8))
        >>> maps.sum((2, 3))
        tensor([[1., 1.]], grad_fn=<SumBackward1>)
    """

    middles: nn.Parameter
    """(n,): y of the regions' middles, in [−1, 1] of the picture; their x is 0."""
    log_radii: nn.Parameter
    """(n, 2): logarithms of the radii (x, y)."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        if heads < 1:
            raise WrinkleError(f"heads is {heads}; attention needs at least 1")
        ends = FARTHEST if heads > 1 else 0.0
        self.middles = nn.Parameter(torch.linspace(-ends, ends, heads))
        radii = torch.tensor([NARROW, WIDE]).repeat(heads, 1)[:heads]
        self.log_radii = nn.Parameter(radii.log())

    def forward(self, maps: Tensor) -> Tensor:
        """HA (B, n, H, W) → M (B, n, H, W), which are positive and sum to 1 over positions."""
        if maps.ndim != 4 or maps.shape[1] != len(self.middles):
            raise WrinkleError(
                f"attention takes maps (B, {len(self.middles)}, H, W), not {tuple(maps.shape)}"
            )
        excess = maps - maps.mean((2, 3), keepdim=True)
        deviation = excess.square().mean((2, 3), keepdim=True).clamp_min(1e-12).sqrt()
        logits = excess / deviation - self.squared_distances(*maps.shape[2:]) / 2
        return logits.flatten(2).softmax(-1).view_as(maps)

    def squared_distances(self, height: int, width: int) -> Tensor:
        """Return r² (n, H, W) of the positions of maps."""
        radii = self.log_radii.exp().clamp(*RADII)
        x = positions(width, self.middles) / radii[:, :1]
        middles = self.middles.clamp(-FARTHEST, FARTHEST)
        y = (positions(height, middles) - middles[:, None]) / radii[:, 1:]
        return y.square()[:, :, None] + x.square()[:, None, :]


def attention_boxes(maps: Tensor) -> Tensor:
    """Return the boxes that hold the attention of maps.

    A box has its middle at the map's mean position. Half of a side is `DEVIATIONS` standard
    deviations of the positions, within `HALF_SIDES`; the box is moved inside the picture.

    Args:
        maps: (B, n, H, W), not negative, sums over positions are 1.

    Returns:
        (B, n, 4): x1, y1, x2, y2 in [−1, 1].
    """
    middles, halves = [], []
    for share in (maps.sum(2), maps.sum(3)):
        at = positions(share.shape[-1], share)
        mean = (share * at).sum(-1)
        deviation = (share * (at - mean[..., None]).square()).sum(-1).sqrt()
        half = (DEVIATIONS * deviation).clamp(*HALF_SIDES)
        middles.append(torch.minimum(torch.maximum(mean, half - 1), 1 - half))
        halves.append(half)
    middle, half = torch.stack(middles, -1), torch.stack(halves, -1)
    return torch.cat([middle - half, middle + half], -1)


def positions(count: int, like: Tensor) -> Tensor:
    """Return the coordinates (count,) in [−1, 1] of the positions along a side, as `like` is."""
    steps = torch.arange(count, dtype=like.dtype, device=like.device)
    return (2 * steps + 1) / count - 1
