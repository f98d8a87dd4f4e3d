"""Several networks as one, whose distribution is the mean of theirs.

Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation using
Deep Ensembles", NeurIPS 2017, section 2.4. Each network sees the face at its own size and zoom, cut
out of one larger view, so that an ensemble is a model like any other.
"""

import math
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.models.base import AgeModel, Extras, Output
from wrinkle.models.heads.head import SMALLEST_PROBABILITY
from wrinkle.models.heads.softmax import Decode, Logits
from wrinkle.models.registry import create_model, register
from wrinkle.settings import Count, Part, Positive


class Member(Part):
    """A network of an ensemble."""

    name: str
    """As for `create_model`."""
    fields: dict[str, Any]
    """As for `create_model`."""
    size: Count
    """Side of its input in pixels."""
    zoom: Positive
    """Of its input."""


class CentralView(nn.Module):
    """The middle of a view at another size, by a triangle filter that does not alias.

    If `part` and `size` differ by no more than a pixel, pixels are copied.

    Args:
        view: side of the view in pixels.
        part: side of what is shown, in pixels of the view; at most `view`.
        size: side of the result in pixels.
    """

    weights: Tensor
    """(size, view), for rows as for columns; each row sums to 1."""

    def __init__(self, view: int, part: float, size: int) -> None:
        super().__init__()
        step = 1.0 if abs(part - size) <= 1 else part / size
        place = (torch.arange(size) + 0.5 - size / 2) * step + view / 2
        distance = (torch.arange(view) + 0.5 - place[:, None]).abs()
        weights = (1 - distance / max(step, 1)).clamp_min(0)
        self.register_buffer("weights", weights / weights.sum(1, keepdim=True), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, view, view) → (B, 3, size, size)."""
        return self.weights @ images @ self.weights.T


class Ensemble(AgeModel):
    """The mean of several networks' distributions.

    Its input has the widest of their views (the lowest zoom) at the highest of their resolutions,
    in [0, 1]. It is built of trained networks, by `wrinkle ensemble`.

    Args:
        members: the networks, all with the same ages.
        decode: the age is the "mean" or the "median" of the mean distribution.

    Raises:
        WrinkleError: there is no network, or their ages differ.
    """

    mean: ClassVar = (0.0, 0.0, 0.0)
    std: ClassVar = (1.0, 1.0, 1.0)

    def __init__(self, members: list[Member], decode: Decode) -> None:
        if not members:
            raise WrinkleError("an ensemble needs at least one network")
        networks = [create_model(each.name, **each.fields) for each in members]
        ages = networks[0].ages
        if any(not torch.equal(each.ages, ages) for each in networks):
            raise WrinkleError("the networks of an ensemble must have the same ages (max_age)")
        zoom, size = common_view(members)
        super().__init__(networks[0].max_age, size)
        self.zoom = zoom
        self.members = nn.ModuleList(networks)
        self.views = nn.ModuleList(
            CentralView(size, size * zoom / each.zoom, each.size) for each in members
        )
        self.magnifications = [each.zoom / zoom for each in members]
        self.head = Logits(ages, decode)
        self.bf16_parts = tuple(
            f"members.{n}.{part}" for n, each in enumerate(networks) for part in each.bf16_parts
        )

    def forward(
        self, images: Tensor, key_points: Tensor | None = None, extras: Extras | None = None
    ) -> Output:
        """Compute the logarithm of the mean distribution (B, A), whose softmax is that mean; see
        `AgeModel.forward`."""
        found = []
        networks = cast(list[AgeModel], list(self.members))
        parts = zip(networks, self.views, self.magnifications, strict=True)
        for member, view, magnification in parts:
            points = None if key_points is None else key_points * magnification
            output = member(member.normalised(view(images)), points)
            found.append(member.head.distribution(output.raw))
        return Output(torch.stack(found).mean(0).clamp_min(SMALLEST_PROBABILITY).log())


def common_view(members: list[Member]) -> tuple[float, int]:
    """Return zoom and size of the smallest view out of which each member's can be cut.

    The size has the parity of the member with the highest resolution, whose pixels can be copied.
    """
    zoom = min(each.zoom for each in members)
    finest = max(members, key=lambda each: each.size * each.zoom)
    size = max(math.ceil(finest.size * finest.zoom / zoom - 0.5), *(each.size for each in members))
    return zoom, size + (size - finest.size) % 2


@register
def ensemble(members: list[Member], decode: Decode = "median") -> Ensemble:
    """Several trained networks as one: `wrinkle ensemble`.

    Args:
        members: name, fields, input size and zoom of each.
        decode: "mean" or "median" of the mean distribution.
    """
    return Ensemble(members, decode)
