"""The regions of DHAA's Figure 2: where in each region the points of a face are, and their pooling.

Left and right are those of the picture.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.faces.align import TEMPLATE
from wrinkle.layers import AlignedRegionPooling, RegionOfInterestPooling

VIEW = 0.8
"""Zoom of the input in DHAA's recipes, for which the squares of ROI pooling are computed."""
Mean = dict[int, float]
"""A point as a weighted mean of others: index → weight, the weights sum to 1."""


def near_left_eye(outwards: float, upwards: float) -> Mean:
    """Return a point near the left eye as a mean of the five key points.

    Args:
        outwards: distance from the eye towards the temple, over the distance of the eyes.
        upwards: distance from the eye along the line from the middle of the mouth to the middle of
            the eyes, over the length of that line.

    Returns:
        Weights of the eyes and mouth corners.
    """
    return {
        0: 1 + outwards + upwards / 2,
        1: -outwards + upwards / 2,
        3: -upwards / 2,
        4: -upwards / 2,
    }


# Brow and corners: medians over the manually annotated points of FG-NET's 1,002 photographs.
FROM_FIVE: dict[str, Mean] = {
    "left eye": {0: 1},
    "right eye": {1: 1},
    "nose": {2: 1},
    "left mouth": {3: 1},
    "right mouth": {4: 1},
    "between eyes": {0: 0.5, 1: 0.5},
    "mouth": {3: 0.5, 4: 0.5},
    "brow": near_left_eye(0.07, 0.26),
    "outer corner": near_left_eye(0.205, -0.03),
    "inner corner": near_left_eye(-0.205, -0.04),
}
# iBUG's order: brow 17–21, nose 27–35, left eye 36–41, right eye 42–47, lips 48–67.
FROM_68: dict[str, Mean] = {
    "left eye": {index: 1 / 6 for index in range(36, 42)},
    "right eye": {index: 1 / 6 for index in range(42, 48)},
    "nose": {30: 1},
    "left mouth": {48: 1},
    "right mouth": {54: 1},
    "between eyes": {index: 1 / 12 for index in range(36, 48)},
    "mouth": {48: 0.5, 54: 0.5},
    "brow": {19: 1},
    "outer corner": {36: 1},
    "inner corner": {39: 1},
}
POINTS = tuple(FROM_FIVE)


class Region(NamedTuple):
    """One region of a face.

    Attributes:
        targets: point → target position (x, y) of ARP, in pixels of a 64×64 region.
        centre: points whose mean is the centre of ROI pooling (section 4.3).
    """

    targets: dict[str, tuple[float, float]]
    centre: tuple[str, ...]

    @property
    def target_points(self) -> Tensor:
        """(m, 2) in [−1, 1] of the region: the q of Eq. 1."""
        return torch.tensor(list(self.targets.values())) / 32 - 1

    def side(self, zoom: float) -> float:
        """Return the side of the square for ROI pooling that covers as much of a face as ARP does.

        Args:
            zoom: zoom of the network's input.

        Returns:
            The side in units in which the picture is 2 wide.
        """
        source = region_points(face_points(torch.tensor(TEMPLATE * zoom)[None]), self)[0]
        target = self.target_points.double()
        spread = [(p - p.mean(0)).square().sum().sqrt() for p in (source, target)]
        return float(2 * spread[0] / spread[1])


REGIONS = {
    # The tight face, the face 1.2 times larger, the eye, the nose, the mouth.
    "g2": Region(
        {
            "left eye": (20.5, 26.2),
            "right eye": (43.5, 26.2),
            "nose": (32, 39),
            "left mouth": (23, 52.5),
            "right mouth": (41.6, 52.5),
        },
        ("nose",),
    ),
    "g3": Region(
        {
            "left eye": (17.6, 24.8),
            "right eye": (46.4, 24.8),
            "nose": (32, 40.8),
            "left mouth": (20.8, 57.6),
            "right mouth": (44, 57.6),
        },
        ("nose",),
    ),
    "l1": Region(
        {
            "brow": (32, 16),
            "left eye": (32, 32),
            "inner corner": (44, 32),
            "outer corner": (20, 32),
        },
        ("left eye",),
    ),
    "l2": Region(
        {
            "left eye": (8, 16),
            "right eye": (56, 16),
            "between eyes": (32, 16),
            "nose": (32, 48),
        },
        ("nose", "between eyes"),
    ),
    "l3": Region(
        {
            "left mouth": (16, 32),
            "right mouth": (48, 32),
            "mouth": (32, 32),
            "nose": (32, 16),
        },
        ("mouth",),
    ),
}


def _matrix(means: dict[str, Mean], count: int) -> Tensor:
    matrix = torch.zeros(len(POINTS), count, dtype=torch.float64)
    for row, name in enumerate(POINTS):
        for index, weight in means[name].items():
            matrix[row, index] = weight
    return matrix


_FROM = {5: _matrix(FROM_FIVE, 5), 68: _matrix(FROM_68, 68)}


def face_points(key_points: Tensor) -> Tensor:
    """Compute all points that regions use.

    Args:
        key_points: (B, 5, 2), or (B, 68, 2) in iBUG's order.

    Returns:
        (B, 10, 2) in the order of `POINTS`.

    Raises:
        WrinkleError: another number of points.
    """
    count = key_points.shape[-2]
    if count not in _FROM:
        raise WrinkleError(f"{count} key points a face: give 5, or 68 in iBUG's order")
    dtype = torch.promote_types(key_points.dtype, torch.float32)
    matrix = _FROM[count].to(key_points.device, dtype)
    # Not a matrix product: autocast would compute it in bf16, and 0 times NaN would be NaN.
    parts = matrix[:, :, None] * key_points.to(dtype)[:, None]
    return parts.where(matrix[:, :, None] != 0, 0).sum(2)


def region_points(points: Tensor, region: Region) -> Tensor:
    """All points (B, 10, 2) of a face → the region's source points (B, m, 2)."""
    return points[:, [POINTS.index(name) for name in region.targets]]


def centre(points: Tensor, region: Region) -> Tensor:
    """All points (B, 10, 2) of a face → the region's centre (B, 2) for ROI pooling."""
    return points[:, [POINTS.index(name) for name in region.centre]].mean(1)


class RegionPooling(nn.Module):
    """Pools the regions of section 2.2 out of CB1's features: g1 by resizing, the others by ARP or
    ROI pooling.

    Args:
        pooling: "arp" or "roi".
        size: side of a region in pixels.
        names: regions to pool, besides g1.

    Raises:
        WrinkleError: an unknown pooling.
    """

    def __init__(self, pooling: str, size: int, names: Iterable[str]) -> None:
        super().__init__()
        if pooling not in ("arp", "roi"):
            raise WrinkleError(f"pooling is {pooling!r}; choices: arp, roi")
        self.kind, self.size = pooling, size
        self.source = region_points if pooling == "arp" else centre
        self.pools = nn.ModuleDict(
            {
                name: AlignedRegionPooling(region.target_points, size)
                if pooling == "arp"
                else RegionOfInterestPooling(region.side(VIEW), size)
                for name, region in REGIONS.items()
                if name in names
            }
        )

    def forward(self, features: Tensor, key_points: Tensor) -> dict[str, Tensor]:
        """Pool the regions.

        Args:
            features: (B, C, H, W).
            key_points: (B, 5, 2) in [−1, 1], or (B, 68, 2) in iBUG's order.

        Returns:
            Name → (B, C, size, size), for g1 and the other regions.
        """
        points = face_points(key_points)
        resized = F.interpolate(features, (self.size, self.size), mode="bilinear")
        pooled = {
            name: pool(features, self.source(points, REGIONS[name]))
            for name, pool in self.pools.items()
        }
        return {"g1": resized, **pooled}

    def inverse_maps(self, key_points: Tensor) -> dict[str, Tensor]:
        """Compute the maps from regions to the picture.

        Args:
            key_points: as for `forward`.

        Returns:
            Name → (B, 2, 3), for every region but g1.
        """
        points = face_points(key_points)
        return {
            name: pool.inverse_maps(self.source(points, REGIONS[name]))  # type: ignore[operator]
            for name, pool in self.pools.items()
        }

    def boxes(self, key_points: Tensor) -> Tensor:
        """Compute the upright rectangles around the regions.

        Args:
            key_points: as for `forward`.

        Returns:
            (B, n, 4), x1, y1, x2, y2 in [−1, 1] of the picture, for the n regions but g1.
        """
        corners = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
        maps = torch.stack([*self.inverse_maps(key_points).values()], 1)
        places = corners.to(maps) @ maps.mT
        return torch.cat([places.amin(2), places.amax(2)], -1)
