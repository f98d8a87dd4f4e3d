"""Region-of-interest pooling around a key point: what the DHAA paper compares its ARP with
(section 4.3, Figure 5)."""

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.layers.aligned_region_pooling import as_size, sample


class RegionOfInterestPooling(nn.Module):
    """An upright square of fixed size around a centre, sampled bilinearly.

    A region covers fewer pixels of the features than it is given, so the bins of the classical
    maximum would be smaller than a pixel; sampling takes their place. side: of the square, above 0,
    in units in which the whole picture is 2 wide. output_size: in pixels, or (h, w).

    WrinkleError for other sides and sizes, or inputs of another shape.

    >>> pool = RegionOfInterestPooling(side=1.0, output_size=2)  # half the picture, its middle
    >>> pool(torch.eye(4)[None, None], torch.zeros(1, 2))
    tensor([[[[1., 0.],
              [0., 1.]]]])
    """

    def __init__(self, side: float, output_size: int | tuple[int, int]) -> None:
        super().__init__()
        if not 0 < side < float("inf"):
            raise WrinkleError(f"side is {side}; a region is wider than 0")
        self.side, self.output_size = side, as_size(output_size)

    def forward(self, features: Tensor, centre: Tensor) -> Tensor:
        """features (B, C, H, W), centre (B, 2) in [−1, 1] → (B, C, h, w).

        A centre that is not a number counts as the middle of the picture.
        """
        return sample(features, self.inverse_maps(centre), self.output_size)

    def inverse_maps(self, centre: Tensor) -> Tensor:
        """(B, 2, 3): region coordinates (x, y, 1) → picture coordinates."""
        if centre.ndim != 2 or centre.shape[1] != 2:
            raise WrinkleError(f"centres are (B, 2), not {tuple(centre.shape)}")
        centre = centre.to(torch.promote_types(centre.dtype, torch.float32))
        centre = torch.where(centre.isfinite().all(1, keepdim=True), centre, 0)
        linear = self.side / 2 * torch.eye(2, dtype=centre.dtype, device=centre.device)
        return torch.cat([linear.expand(len(centre), 2, 2), centre[..., None]], -1)
