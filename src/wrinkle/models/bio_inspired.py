"""The predecessor that the ADPF paper compares itself with, its [9]: "Fusion Network for Face-Based
Age Estimation", ICIP 2018. Bio-inspired features and AdaBoost choose patches that are the same in
every face; FusionNet is ADPF's.

The features are those of Guo, Mu, Fu and Huang, "Human Age Estimation Using Bio-Inspired Features",
CVPR 2009: Gabor responses (S1), their maximum over the two filters of a band, and the standard
deviation of that within a patch (C1). Open in [9], chosen here: the candidates, squares of a fourth
and a third of the picture's side on a grid; AdaBoost.R2 with shallow trees, each split over a
random part of the features, whose importances add up to a patch's.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from wrinkle.errors import require
from wrinkle.models.adpf import FusionNet
from wrinkle.models.heads import HeadChoice
from wrinkle.models.registry import register

ORIENTATIONS = 8
BANDS = ((5, 7), (9, 11), (13, 15), (17, 19))
"""Sides in pixels of the Gabor filters, two a band."""
SIDES = (1 / 4, 1 / 3)
"""Sides of candidate patches over the picture's."""
STEP = 1 / 16
"""Distance of neighbouring candidates over the picture's side."""
TREES, DEPTH = 100, 4
OVERLAP = 0.1
"""Largest intersection over union of two chosen patches."""


@cache
def gabor_bank() -> list[list[np.ndarray]]:
    """Filters of each band, both sizes at every orientation: σ and wavelength grow with the size.

    G(x, y) = exp(−(X² + γ² Y²) / 2σ²) cos(2π X / λ), X and Y turned by θ, without a mean and of
    norm 1; γ = 0.3, σ = 0.0036 s² + 0.35 s + 0.18 and λ = σ / 0.8, as Serre et al. fit them to
    cells of the visual cortex.
    """
    return [
        [
            _gabor(side, np.pi * orientation / ORIENTATIONS)
            for side in band
            for orientation in range(ORIENTATIONS)
        ]
        for band in BANDS
    ]


def _gabor(side: int, theta: float) -> np.ndarray:
    sigma = 0.0036 * side**2 + 0.35 * side + 0.18
    offsets = np.arange(side) - side // 2
    y, x = np.meshgrid(offsets, offsets, indexing="ij")
    turned = x * np.cos(theta) + y * np.sin(theta)
    across = -x * np.sin(theta) + y * np.cos(theta)
    envelope = np.exp(-(turned**2 + 0.3**2 * across**2) / (2 * sigma**2))
    wave = envelope * np.cos(2 * np.pi * turned * 0.8 / sigma)
    wave -= wave.mean()
    filtered: np.ndarray = (wave / np.linalg.norm(wave)).astype(np.float32)
    return filtered


@cache
def candidates() -> np.ndarray:
    """All patches that may be chosen, (P, 4): x1, y1, x2, y2 in [−1, 1]."""
    boxes = []
    for side in SIDES:
        starts = np.arange(0, 1 - side + 1e-9, STEP)
        boxes += [(x, y, x + side, y + side) for y in starts for x in starts]
    return 2 * np.array(boxes) - 1


def bio_inspired_features(picture: np.ndarray) -> np.ndarray:
    """Features of every candidate: (S, S) grey, float32 in [0, 255] → (P, bands · orientations)."""
    bands = []
    for filters in gabor_bank():
        responses = np.abs([cv2.filter2D(picture, -1, each) for each in filters])
        bands.append(responses.reshape(2, ORIENTATIONS, *picture.shape).max(0))
    return deviations(np.concatenate(bands), candidates())


def deviations(values: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Standard deviation of (F, S, S) within boxes (P, 4), by sums over rectangles: (P, F)."""
    x1, y1, x2, y2 = np.rint((boxes.T + 1) / 2 * values.shape[-1]).astype(int)

    def mean(each: np.ndarray) -> np.ndarray:
        total = np.pad(each, ((0, 0), (1, 0), (1, 0))).cumsum(1).cumsum(2)
        inside = total[:, y2, x2] - total[:, y1, x2] - total[:, y2, x1] + total[:, y1, x1]
        means: np.ndarray = inside / ((x2 - x1) * (y2 - y1))
        return means

    values = values.astype(np.float64)
    variance = mean(values**2) - mean(values) ** 2
    features: np.ndarray = np.sqrt(variance.clip(0)).T.astype(np.float32)
    return features


def choose_patches(features: np.ndarray, ages: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """The `count` patches that AdaBoost rests on most, best first, (count, 4) in [−1, 1].

    features: (N, P, F) of N faces. ages: (N,) years. Patches that overlap a better one are passed
    over; where too few are left, as many of those as are missing follow.
    """
    require("boosting")
    from sklearn.ensemble import AdaBoostRegressor
    from sklearn.tree import DecisionTreeRegressor

    boost = AdaBoostRegressor(
        DecisionTreeRegressor(max_depth=DEPTH, max_features="sqrt"),
        n_estimators=TREES,
        random_state=seed,
    )
    boost.fit(features.reshape(len(features), -1), ages)
    importance = boost.feature_importances_.reshape(features.shape[1:]).sum(1)
    boxes = candidates()
    order = np.argsort(-importance, kind="stable")
    chosen: list[int] = []
    for patch in order:
        if len(chosen) < count and (overlaps(boxes[patch], boxes[chosen]) <= OVERLAP).all():
            chosen.append(int(patch))
    passed_over = [int(patch) for patch in order if patch not in chosen]
    return boxes[[*chosen, *passed_over][:count]]


def overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (4,) with boxes (N, 4)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = (high - low).clip(0).prod(-1)
    areas = [(b[..., 2:] - b[..., :2]).prod(-1) for b in (box, boxes)]
    ratio: np.ndarray = shared / (areas[0] + areas[1] - shared)
    return ratio


class FixedPatchFusion(FusionNet):
    """FusionNet over patches at fixed places, which are chosen before training."""

    boxes: Tensor

    def __init__(self, input_size: int, width: int, patches: int, **fusion: Any) -> None:
        super().__init__(input_size, width, patches, **fusion)
        whole = torch.tensor([-1.0, -1.0, 1.0, 1.0])
        self.register_buffer("boxes", whole.repeat(patches, 1))

    def before_training(self, views: Iterable[Tensor], ages: Tensor) -> None:
        """Choose the places from the training faces.

        Raises:
            WrinkleError: scikit-learn is missing.
        """
        pictures = (face.permute(1, 2, 0).cpu().numpy() for batch in views for face in batch)
        grey = (255 * cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in pictures)
        features = np.stack([bio_inspired_features(each) for each in grey])
        self.boxes.copy_(torch.from_numpy(choose_patches(features, ages.numpy(), self.patches)))

    def find_patches(self, images: Tensor) -> Tensor:
        return self.boxes.expand(len(images), -1, -1)


@register
def bif_fusion(
    input_size: int = 128,
    width: int = 64,
    patches: int = 5,
    patch_size: int = 64,
    head: HeadChoice = "softmax",
) -> FixedPatchFusion:
    """ADPF's predecessor: the same FusionNet over fixed patches; ages 0–100.

    Args:
        patches: how many.

    The rest as `adpf`.
    """
    return FixedPatchFusion(input_size, width, patches, patch_size=patch_size, head=head)
