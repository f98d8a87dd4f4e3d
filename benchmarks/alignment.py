"""How well are regions aligned? DHAA's ARP and ROI pooling on FG-NET's hand-placed landmarks.

    wrinkle prepare fgnet FG-NET/ fgnet.arrow
    python benchmarks/alignment.py fgnet.arrow

Each face is shown as the network gets it, rotated, scaled and shifted at random (see the options).
Each region is pooled, and the hand-placed landmarks are mapped into it. Distances are in hundredths
of the region's side. "To target" is the distance of the landmarks from ARP's target points. ROI
pooling has no such points, so the second figure is fairer: the distance of the landmarks from their
own mean position over all faces. Regions are fitted to the detector's five points, as in
prediction, or to the landmarks themselves.
"""

import argparse

import numpy as np
import torch
from torch import Tensor

from wrinkle.datasets.augment import Augment
from wrinkle.datasets.loader import Draw, Faces
from wrinkle.datasets.store import Store
from wrinkle.faces.input import InputSpec
from wrinkle.layers import AlignedRegionPooling, RegionOfInterestPooling
from wrinkle.models.face_regions import (
    POINTS,
    REGIONS,
    VIEW,
    Region,
    centre,
    face_points,
    region_points,
)

FGNET = {
    "left eye": [31],
    "right eye": [36],
    "nose": [67],
    "left mouth": [48],
    "right mouth": [54],
    "between eyes": [31, 36],
    "mouth": [48, 54],
    "brow": [22, 23, 25, 26],
    "outer corner": [27],
    "inner corner": [29],
}
"""DHAA's points among FG-NET's own 68 (see wrinkle.datasets.readers.fgnet)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("--rotation", type=float, nargs="+", default=[0, 10, 30])
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--translation", type=float, default=0.05)
    args = parser.parse_args()
    store = Store(args.store)
    for rotation in args.rotation:
        still = rotation == 0
        augment = Augment(
            mirror=0,
            rotation=rotation,
            scale=0 if still else args.scale,
            translation=0 if still else args.translation,
        )
        print("\nas aligned" if still else f"\nrotated by up to {rotation:g}°", end="")
        print("" if still else f", scaled ±{args.scale:g}, shifted ±{args.translation:g}")
        table(*seen(store, augment))


def seen(store: Store, augment: Augment) -> tuple[Tensor, Tensor]:
    """(N, 10, 2) points computed from the detector's five, and from the landmarks."""
    spec = InputSpec(256, VIEW, store.size, (0, 0, 0), (1, 1, 1))
    faces = Faces(store, spec, augment, seed=0)
    five, placed = [], []
    for row in range(len(store)):
        landmarks = store.landmarks(row)
        if landmarks is None:
            continue
        item = faces[Draw(0, row, 0)]
        five.append(face_points(item.key_points[None])[0])
        own = np.stack([landmarks[FGNET[name]].mean(0) for name in POINTS])
        matrix = item.matrix.numpy()
        inside = (own @ matrix[:, :2].T + matrix[:, 2]) * 2 / 256 - 1
        placed.append(torch.tensor(inside, dtype=torch.float32))
    return torch.stack(five), torch.stack(placed)


def table(five: Tensor, placed: Tensor) -> None:
    print("| region | to target: ARP | ARP, similarity | ROI | ARP fitted to landmarks | ", end="")
    print("to own mean: ARP | ARP, similarity | ROI | ARP fitted to landmarks |")
    print("|---|" + "---:|" * 8)
    rows = []
    for name, region in REGIONS.items():
        affine = AlignedRegionPooling(region.target_points, 56)
        similar = AlignedRegionPooling(region.target_points, 56, "similarity")
        square = RegionOfInterestPooling(region.side(VIEW), 56)
        maps = [
            affine.inverse_maps(region_points(five, region)),
            similar.inverse_maps(region_points(five, region)),
            square.inverse_maps(centre(five, region)),
            affine.inverse_maps(region_points(placed, region)),
        ]
        mapped = [into_region(each, region_points(placed, region)) for each in maps]
        row = [to_target(points, region) for points in mapped]
        row += [to_mean(points) for points in mapped]
        rows.append(row)
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in row) + " |")
    mean = np.mean(rows, 0)
    print("| mean | " + " | ".join(f"{value:.1f}" for value in mean) + " |")


def into_region(inverse: Tensor, points: Tensor) -> Tensor:
    """Map points (N, m, 2) of the picture into regions, given the inverse maps (N, 2, 3)."""
    return (points - inverse[:, None, :, 2]) @ torch.linalg.inv(inverse[:, :, :2]).mT


def to_target(points: Tensor, region: Region) -> float:
    return hundredths(points - region.target_points)


def to_mean(points: Tensor) -> float:
    return hundredths(points - points.mean(0))


def hundredths(offsets: Tensor) -> float:
    """Mean length in hundredths of a side, which is 2."""
    return float(50 * offsets.norm(dim=-1).mean())


if __name__ == "__main__":
    main()
