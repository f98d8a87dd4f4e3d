"""MTCNN's three networks and their weights (Zhang et al., IEEE SPL 2016, figure 2)."""

from pathlib import Path

import torch
from torch import Tensor, nn

from wrinkle.files import read_tensors

WEIGHTS = Path(__file__).with_name("weights.safetensors")
PREFILTER = Path(__file__).with_name("prefilter.safetensors")


class PNet(nn.Module):
    """Proposal network, convolutional: (B, 3, H, W) → face (B, h, w), box offsets (B, 4, h, w).

    Its first layer has 10 channels; six more of zeros take a sixth off its time, because PReLU and
    pooling are vectorised over 16.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.PReLU(16), nn.MaxPool2d(2, 2, ceil_mode=True),
            nn.Conv2d(16, 16, 3), nn.PReLU(16),
            nn.Conv2d(16, 32, 3), nn.PReLU(32),
        )  # fmt: skip
        self.offsets = nn.Conv2d(32, 4, 1)
        self.face = nn.Conv2d(32, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures in [−1, 1] → P(face) and box offsets of every window."""
        x = self.features(x)
        return self.face(x).softmax(1)[:, 1], self.offsets(x)


class RNet(nn.Module):
    """Refinement network: (B, 3, 24, 24) → face (B,), box offsets (B, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 28, 3), nn.PReLU(28), nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(28, 48, 3), nn.PReLU(48), nn.MaxPool2d(3, 2),
            nn.Conv2d(48, 64, 2), nn.PReLU(64),
        )  # fmt: skip
        self.hidden = nn.Sequential(nn.Linear(576, 128), nn.PReLU(128))
        self.offsets = nn.Linear(128, 4)
        self.face = nn.Linear(128, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Crops in [−1, 1] → P(face) and box offsets."""
        x = self.hidden(_flatten_columns(self.features(x)))
        return self.face(x).softmax(1)[:, 1], self.offsets(x)


class ONet(nn.Module):
    """Output network: (B, 3, 48, 48) → face (B,), box offsets (B, 4), key points (B, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 3), nn.PReLU(32), nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(32, 64, 3), nn.PReLU(64), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 64, 3), nn.PReLU(64), nn.MaxPool2d(2, 2, ceil_mode=True),
            nn.Conv2d(64, 128, 2), nn.PReLU(128),
        )  # fmt: skip
        self.hidden = nn.Sequential(nn.Linear(1152, 256), nn.PReLU(256))
        self.offsets = nn.Linear(256, 4)
        self.key_points = nn.Linear(256, 10)
        self.face = nn.Linear(256, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Crops in [−1, 1] → P(face), box offsets, and key points: five x, then five y."""
        x = self.hidden(_flatten_columns(self.features(x)))
        return self.face(x).softmax(1)[:, 1], self.offsets(x), self.key_points(x)


class Prefilter(nn.Module):
    """Finds the windows that are worth a run of P-Net, at a fortieth of its cost; our own.

    It sees levels of half P-Net's resolution. A cell, a square of `side` of P-Net's pixels, holds
    2 × 2 of P-Net's windows.
    """

    side = 14
    stride = 4

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2), nn.ReLU(inplace=True),
            nn.Conv2d(16, 16, 3), nn.ReLU(inplace=True),
            nn.Conv2d(16, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Pictures in [−1, 1] (B, 3, H/2, W/2) → whether each cell may hold a face (B, h, w)."""
        scores: Tensor = self.features(x)
        return scores[:, 0] > 0


def _flatten_columns(x: Tensor) -> Tensor:
    """(B, C, H, W) → (B, W·H·C): the order in which the published dense layers were trained."""
    return x.permute(0, 3, 2, 1).flatten(1)


def load_nets() -> tuple[PNet, RNet, ONet]:
    """The three networks with their published weights.

    Raises:
        WrinkleError: the file of weights is missing or damaged; one line.
    """
    tensors, _ = read_tensors(WEIGHTS, "detector")
    nets = nn.ModuleDict({"pnet": PNet(), "rnet": RNet(), "onet": ONet()})
    nets.load_state_dict(tensors | _widened(tensors))
    return nets["pnet"], nets["rnet"], nets["onet"]  # type: ignore[return-value]


def _widened(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of P-Net's first layer and of what takes its output, with zeros for `PNet`."""
    result = {}
    for name, axis in (("0.weight", 0), ("0.bias", 0), ("1.weight", 0), ("3.weight", 1)):
        tensor = tensors[f"pnet.features.{name}"]
        zeros = torch.zeros_like(tensor.narrow(axis, 0, 6))
        result[f"pnet.features.{name}"] = torch.cat([tensor, zeros], axis)
    return result


def load_prefilter() -> Prefilter:
    """The prefilter with its weights.

    Raises:
        WrinkleError: the file of weights is missing or damaged; one line.
    """
    tensors, _ = read_tensors(PREFILTER, "detector")
    net = Prefilter()
    net.load_state_dict(tensors)
    return net
