"""ADPF's predecessor, reference [9] of its paper: fusion of fixed patches.

"Fusion Network for Face-Based Age Estimation", ICIP 2018. Bio-inspired features and AdaBoost choose
patches that are the same in every face; FusionNet is ADPF's.

The features are those of Guo, Mu, Fu and Huang, "Human Age Estimation Using Bio-Inspired Features",
CVPR 2009: Gabor responses (S1), their maximum over the two filters of a band, and the standard
deviation of that maximum within a patch (C1).

[9] leaves open, and is chosen here: candidates are squares of a fourth and a third of the picture's
side on a grid; AdaBoost.R2 uses shallow trees, each split over a random subset of the features; the
importance of a patch is the sum over its features.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from wrinkle.errors import require
from wrinkle.models.attention_net import reduced
from wrinkle.models.fusion_blocks import MainPath
from wrinkle.models.fusion_net import FusionNet
from wrinkle.models.heads import HeadChoice
from wrinkle.models.registry import register

ORIENTATIONS = 8
BANDS = ((5, 7), (9, 11), (13, 15), (17, 19))
"""Sides in pixels of the Gabor filters, two for each band."""
SIDES = (1 / 4, 1 / 3)
"""Sides of candidate patches, as shares of the picture's side."""
STEP = 1 / 16
"""Distance of neighbouring candidates, as a share of the picture's side."""
TREES, DEPTH = 100, 4
OVERLAP = 0.1
"""Largest intersection over union of two chosen patches."""


@cache
def gabor_bank() -> list[list[np.ndarray]]:
    """Return the Gabor filters of each band, both sizes at every orientation.

    G(x, y) = exp(−(X² + γ² Y²) / 2σ²) cos(2π X / λ), where X and Y are rotated by θ; minus its mean
    and of norm 1. For side s, γ = 0.3, σ = 0.0036 s² + 0.35 s + 0.18 and λ = σ / 0.8, which Serre
    et al. fitted to cells of the visual cortex.

    Returns:
        For each band its filters, each (s, s) float32.
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
    along = x * np.cos(theta) + y * np.sin(theta)
    across = -x * np.sin(theta) + y * np.cos(theta)
    envelope = np.exp(-(along**2 + 0.3**2 * across**2) / (2 * sigma**2))
    wave = envelope * np.cos(2 * np.pi * along * 0.8 / sigma)
    wave -= wave.mean()
    gabor: np.ndarray = (wave / np.linalg.norm(wave)).astype(np.float32)
    return gabor


@cache
def candidates() -> np.ndarray:
    """Return all patches that may be chosen, (P, 4): x1, y1, x2, y2 in [−1, 1]."""
    boxes = []
    for side in SIDES:
        starts = np.arange(0, 1 - side + 1e-9, STEP)
        boxes += [(x, y, x + side, y + side) for y in starts for x in starts]
    return 2 * np.array(boxes) - 1


def bio_inspired_features(picture: np.ndarray) -> np.ndarray:
    """Compute the features of every candidate patch.

    Args:
        picture: (S, S) grey, float32 in [0, 255].

    Returns:
        (P, F), F = bands · orientations.
    """
    bands = []
    for filters in gabor_bank():
        responses = np.abs([cv2.filter2D(picture, -1, each) for each in filters])
        bands.append(responses.reshape(2, ORIENTATIONS, *picture.shape).max(0))
    return deviations(np.concatenate(bands), candidates())


def deviations(values: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Compute standard deviations within boxes, by integral images.

    Args:
        values: (F, S, S).
        boxes: (P, 4) in [−1, 1].

    Returns:
        (P, F) float32.
    """
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
    """Choose the patches that are most important to AdaBoost.

    Patches that overlap a more important one are skipped. If too few are left, the most important
    of the skipped ones follow.

    Args:
        features: (N, P, F) of N faces.
        ages: (N,) years.
        count: how many patches.
        seed: of AdaBoost.

    Returns:
        (count, 4) in [−1, 1], the most important patch first.

    Raises:
        WrinkleError: scikit-learn is not installed.
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
    skipped = [int(patch) for patch in order if patch not in chosen]
    return boxes[[*chosen, *skipped][:count]]


def overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union (N,) of a box (4,) with boxes (N, 4)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = (high - low).clip(0).prod(-1)
    areas = [(b[..., 2:] - b[..., :2]).prod(-1) for b in (box, boxes)]
    ratio: np.ndarray = shared / (areas[0] + areas[1] - shared)
    return ratio


class FixedPatchFusion(FusionNet):
    """FusionNet over patches at fixed positions, which are chosen before training.

    Args:
        input_size: side in pixels of the input.
        width: channels of the first layer.
        patches: number of patches.
        fusion: further arguments of `FusionNet`.
    """

    boxes: Tensor
    """(n, 4) in [−1, 1]; the full picture until they are chosen."""

    def __init__(self, input_size: int, width: int, patches: int, **fusion: Any) -> None:
        super().__init__(input_size, width, patches, **fusion)
        full_picture = torch.tensor([-1.0, -1.0, 1.0, 1.0])
        self.register_buffer("boxes", full_picture.repeat(patches, 1))

    def before_training(self, views: Iterable[Tensor], ages: Tensor) -> None:
        """Choose the patches from the training faces.

        Args:
            views: batches (B, 3, S, S) in [0, 1] of the training faces, in the order of `ages`.
            ages: (N,) labels in years.

        Raises:
            WrinkleError: scikit-learn is not installed.
        """
        faces = (face for batch in views for face in reduced(batch, self.face_size))
        pictures = (face.permute(1, 2, 0).cpu().numpy() for face in faces)
        grey = (255 * cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in pictures)
        features = np.stack([bio_inspired_features(each) for each in grey])
        self.boxes.copy_(torch.from_numpy(choose_patches(features, ages.numpy(), self.patches)))

    def find_patches(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → the chosen boxes (B, n, 4) in [−1, 1], the same for all."""
        return self.boxes.expand(images.shape[0], -1, -1)


@register
def bif_fusion(
    input_size: int = 128,
    width: int = 64,
    patches: int = 5,
    patch_size: int = 64,
    head: HeadChoice = "softmax",
    face_size: int | None = None,
    patch_jitter: float = 0.0,
    patch_dropout: float = 0.0,
    main_path: MainPath = "short",
) -> FixedPatchFusion:
    """ADPF's predecessor: the same FusionNet over fixed patches; ages 0–100.

    Args:
        input_size: side in pixels of the input.
        width: channels of the first layer.
        patches: number of patches.
        patch_size: side in pixels to which every patch is resized.
        head: name of the head, or a mapping of its name and fields.
        face_size: side in pixels to which the face is reduced, while patches are cut out of the
            input; None: not reduced.
        patch_jitter, patch_dropout, main_path: as in `adpf`.
    """
    return FixedPatchFusion(
        input_size,
        width,
        patches,
        patch_size=patch_size,
        head=head,
        face_size=face_size,
        patch_jitter=patch_jitter,
        patch_dropout=patch_dropout,
        main_path=main_path,
    )
