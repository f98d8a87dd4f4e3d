"""How much each part of a face changes the estimate: parts are covered one after another.

Occlusion sensitivity of Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks",
ECCV 2014, section 4.2, for an age in years in place of a class's probability.
"""

from functools import partial

import torch
from torch import Tensor

from wrinkle.models.base import AgeModel

GRID = 10
"""Positions of the square in each direction."""
SIDE = 0.2
"""Side of the square as a share of the input's."""
BATCH = 20


@torch.inference_mode()
def occlusion_map(model: AgeModel, pixels: Tensor, key_points: Tensor) -> Tensor:
    """Age of a face minus its age with a grey square over each part.

    Args:
        model: the network, on any device.
        pixels: (1, 3, S, S), the network's input; S is at least `GRID`.
        key_points: (1, 5, 2) in [−1, 1].

    Returns:
        (GRID, GRID) float32, years: positive where the part makes the face look older.
    """
    device = model.ages.device
    covered = torch.cat([pixels, *(_cover(pixels, row, column) for row, column in _places())])
    predict = partial(model.predict, mirror=False)
    ages = [
        predict(part.to(device), key_points.expand(len(part), -1, -1).to(device)).age.float().cpu()
        for part in covered.split(BATCH)
    ]
    age = torch.cat(ages)
    return (age[0] - age[1:]).view(GRID, GRID)


def _places() -> list[tuple[int, int]]:
    return [(row, column) for row in range(GRID) for column in range(GRID)]


def _cover(pixels: Tensor, row: int, column: int) -> Tensor:
    """Copy a picture (1, 3, S, S) with a square of its mean colour at one position."""
    size = pixels.shape[-1]

    def ends(position: int) -> slice:
        centre, half = (position + 0.5) / GRID, SIDE / 2
        return slice(
            max(round((centre - half) * size), 0), min(round((centre + half) * size), size)
        )

    copy = pixels.clone()
    copy[..., ends(row), ends(column)] = pixels.mean((2, 3), keepdim=True)
    return copy
