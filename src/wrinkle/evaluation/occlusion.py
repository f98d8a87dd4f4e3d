"""How much an age depends on the regions that a network claims to look at.

Occlusion sensitivity of Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks",
ECCV 2014, section 4.2, for an age in years in place of a class's probability. A region that is
important changes the age more, if it is covered, than places of the same size elsewhere.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.models.base import AgeModel


class Occlusion(NamedTuple):
    """Absolute changes of ages in years, each (B, n) float32 for n regions of B faces.

    Attributes:
        regions: with the region covered.
        anywhere: mean over places of the region's size, evenly spaced over the picture: what a
            place chosen at random changes.
        best: largest of those places.
    """

    regions: Tensor
    anywhere: Tensor
    best: Tensor

    @property
    def ratio(self) -> float:
        """Mean change at the regions over that at random places."""
        return float(self.regions.mean() / self.anywhere.mean())


@torch.inference_mode()
def occlusion(
    model: AgeModel, images: Tensor, key_points: Tensor, boxes: Tensor, places: int = 5
) -> Occlusion:
    """Cover regions of faces, and places of the same size, and compare the changes of the ages.

    Args:
        model: in evaluation mode.
        images: (B, 3, S, S), its input.
        key_points: (B, m, 2), as for `AgeModel.predict`.
        boxes: (B, n, 4), x1, y1, x2, y2 in [−1, 1]: the regions; what is outside the picture is
            ignored.
        places: number of places to compare with in each direction.

    Returns:
        The changes, on the images' device.

    Raises:
        WrinkleError: boxes of another shape, or no places.

    Example:
        >>> from wrinkle.models import create_model
        >>> model = create_model("res18_ex", input_size=64, width=2).eval()
        >>> images, points = torch.randn(2, 3, 64, 64), torch.zeros(2, 5, 2)
        >>> upper_left = torch.tensor([-1.0, -1.0, 0.0, 0.0]).expand(2, 3, 4)
        >>> found = occlusion(model, images, points, upper_left)
        >>> found.regions.shape
        torch.Size([2, 3])
    """
    if boxes.ndim != 3 or boxes.shape[::2] != (len(images), 4):
        raise WrinkleError(
            f"{len(images)} images take boxes ({len(images)}, n, 4), not {tuple(boxes.shape)}"
        )
    if places < 1:
        raise WrinkleError(f"places is {places}: give 1 or more")

    def ages(pictures: Tensor) -> Tensor:
        return model.predict(pictures, key_points, mirror=False).age.float()

    plain = ages(images)

    def change(box: Tensor) -> Tensor:
        return (ages(covered(images, box)) - plain).abs()

    every = []
    for box in boxes.clamp(-1, 1).unbind(1):
        elsewhere = torch.stack([change(place) for place in places_of_size(box, places)])
        every.append((change(box), elsewhere.mean(0), elsewhere.amax(0)))
    return Occlusion(*(torch.stack(column, 1) for column in zip(*every, strict=True)))


def covered(images: Tensor, box: Tensor) -> Tensor:
    """Cover a rectangle of each image with the image's mean colour.

    Args:
        images: (B, 3, H, W).
        box: (B, 4), x1, y1, x2, y2 in [−1, 1].

    Returns:
        (B, 3, H, W).
    """
    inside = [
        (at >= box[:, first, None]) & (at < box[:, first + 2, None])
        for first, at in enumerate(pixel_centres(images))
    ]
    where = (inside[1][:, :, None] & inside[0][:, None, :])[:, None]
    return torch.where(where, images.mean((2, 3), keepdim=True), images)


def pixel_centres(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the x (W,) and the y (H,) of the pixels of images (B, 3, H, W) in [−1, 1]."""
    x, y = (
        (2 * torch.arange(length, device=images.device) + 1) / length - 1
        for length in (images.shape[3], images.shape[2])
    )
    return x, y


def places_of_size(box: Tensor, places: int) -> list[Tensor]:
    """Return boxes (B, 4) as large as `box` (B, 4), evenly spaced over the picture.

    Args:
        box: x1, y1, x2, y2 in [−1, 1].
        places: number in each direction; the first and last touch the border.
    """
    size = box[:, 2:] - box[:, :2]
    shares = torch.linspace(0, 1, places).tolist() if places > 1 else [0.5]
    corners = [
        torch.stack([x * (2 - size[:, 0]) - 1, y * (2 - size[:, 1]) - 1], 1)
        for y in shares
        for x in shares
    ]
    return [torch.cat([corner, corner + size], 1) for corner in corners]
