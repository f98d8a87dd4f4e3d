"""Fusion of a branch's regions: recurrent (DHAA paper, section 2.4), and the fully connected fusion
that its Figure 5 compares it with."""

from torch import Tensor, nn

from wrinkle.errors import WrinkleError


class RecurrentFusion(nn.Module):
    """h^k = LSTM(z^k, h^{k−1}) and h = Σ_k h^k (Eq. 2 and 3), from h⁰ = 0.

    Args:
        in_features: d, the size of z^k.
        hidden_features: size of h.

    Raises:
        WrinkleError: in `forward`, an input of another shape.
    """

    def __init__(self, in_features: int, hidden_features: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(in_features, hidden_features, batch_first=True)

    def forward(self, z: Tensor) -> Tensor:
        """Fuse a branch's features.

        Args:
            z: (B, K, d), in the order of the branch's regions.

        Returns:
            h (B, hidden_features).
        """
        check_regions(z, self.lstm.input_size)
        hidden: Tensor = self.lstm(z)[0]
        return hidden.sum(1)


class FullyConnectedFusion(nn.Module):
    """h = W concat(z¹, …, z^K) + b, "FC Fus." in Figure 5.

    Args:
        in_features: d, the size of z^k.
        hidden_features: size of h.
        regions: K.

    Raises:
        WrinkleError: in `forward`, an input of another shape.
    """

    def __init__(self, in_features: int, hidden_features: int, regions: int) -> None:
        super().__init__()
        self.regions, self.in_features = regions, in_features
        self.fc = nn.Linear(regions * in_features, hidden_features)

    def forward(self, z: Tensor) -> Tensor:
        """z (B, K, d) → h (B, hidden_features)."""
        check_regions(z, self.in_features)
        if z.shape[1] != self.regions:
            raise WrinkleError(f"fusion takes {self.regions} regions, not {z.shape[1]}")
        h: Tensor = self.fc(z.flatten(1))
        return h


def check_regions(z: Tensor, features: int) -> None:
    """Check the shape of a branch's features.

    Raises:
        WrinkleError: z is not (B, K, features) with K ≥ 1.
    """
    if z.ndim != 3 or z.shape[1] < 1 or z.shape[2] != features:
        raise WrinkleError(f"fusion takes (B, K, {features}), not {tuple(z.shape)}")
