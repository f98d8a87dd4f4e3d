"""How much each part of a face changes the estimate: parts are covered one after another.

The method is that of `wrinkle.evaluation.occlusion`.
"""

from functools import partial

import torch
from torch import Tensor

from wrinkle.evaluation.occlusion import covered
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
    squares = _squares()
    pictures = torch.cat([pixels, covered(pixels.expand(len(squares), -1, -1, -1), squares)])
    predict = partial(model.predict, mirror=False)
    ages = [
        predict(part.to(device), key_points.expand(len(part), -1, -1).to(device)).age.float().cpu()
        for part in pictures.split(BATCH)
    ]
    age = torch.cat(ages)
    return (age[0] - age[1:]).view(GRID, GRID)


def _squares() -> Tensor:
    """(GRID², 4) in [−1, 1], row by row."""
    middles = (2 * torch.arange(GRID) + 1) / GRID - 1
    y, x = torch.meshgrid(middles, middles, indexing="ij")
    return torch.stack([x - SIDE, y - SIDE, x + SIDE, y + SIDE], -1).view(-1, 4)
