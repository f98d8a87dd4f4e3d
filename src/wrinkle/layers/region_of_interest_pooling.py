"""Region-of-interest pooling around a key point, with which the DHAA paper compares its aligned
region pooling (section 4.3, Figure 5)."""

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.layers.aligned_region_pooling import as_size, sample


class RegionOfInterestPooling(nn.Module):
    """Samples an upright square of fixed size around a centre bilinearly.

    The output has more pixels than the region covers in the features, so that the bins of classical
    max pooling would be smaller than a pixel. Bilinear samples are used instead.

    Args:
        side: side of the square, above 0, in units in which the picture is 2 wide.
        output_size: side of the output in pixels, or (h, w).

    Raises:
        WrinkleError: another side or size; in `forward`, inputs of another shape.

    Example:
        >>> pool = RegionOfInterestPooling(side=1.0, output_size=2)  # half the picture, its middle
        >>> pool(torch.eye(4)[None, None], torch.zeros(1, 2))
        tensor([[[[1., 0.],
                  [0., 1.]]]])
    """

    def __init__(self, side: float, output_size: int | tuple[int, int]) -> None:
        super().__init__()
        if not 0 < side < float("inf"):
            raise WrinkleError(f"side is {side}; it must be above 0")
        self.side, self.output_size = side, as_size(output_size)

    def forward(self, features: Tensor, centre: Tensor) -> Tensor:
        """Pool a region of each picture.

        Args:
            features: (B, C, H, W).
            centre: (B, 2) in [−1, 1]; one that is not finite is replaced by the picture's middle.

        Returns:
            (B, C, h, w).
        """
        return sample(features, self.inverse_maps(centre), self.output_size)

    def inverse_maps(self, centre: Tensor) -> Tensor:
        """Centre (B, 2) → maps (B, 2, 3) from region coordinates (x, y, 1) to the picture's."""
        if centre.ndim != 2 or centre.shape[1] != 2:
            raise WrinkleError(f"centres are (B, 2), not {tuple(centre.shape)}")
        centre = centre.to(torch.promote_types(centre.dtype, torch.float32))
        centre = torch.where(centre.isfinite().all(1, keepdim=True), centre, 0)
        linear = self.side / 2 * torch.eye(2, dtype=centre.dtype, device=centre.device)
        return torch.cat([linear.expand(centre.shape[0], 2, 2), centre[..., None]], -1)
