"""Key points travel with the picture: a varied or mirrored face gives the same regions."""

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from wrinkle.datasets.augment import Augment
from wrinkle.datasets.loader import Draw, Faces
from wrinkle.datasets.store import Store
from wrinkle.faces.input import InputSpec
from wrinkle.models.face_regions import REGIONS, RegionPooling

SIZE = 128


def regions(
    store: Store, row: int, epoch: int, **augment: float
) -> tuple[dict[str, Tensor], Tensor]:
    """Regions of the picture itself, where the plain picture's features would be; its points."""
    spec = InputSpec(SIZE, 0.8, store.size, (0, 0, 0), (1, 1, 1))
    item = Faces(store, spec, Augment(**augment) if augment else None)[Draw(epoch, row, 0)]
    picture = spec.images(item.crop[None], item.matrix[None])
    return RegionPooling("arp", 56, REGIONS)(picture, item.key_points[None]), item.key_points


@pytest.fixture(scope="module")
def store(example_store: Path) -> Store:
    return Store(example_store)


@pytest.mark.parametrize("epoch", range(3))
def test_turned_scaled_and_shifted(store: Store, epoch: int) -> None:
    for row in range(len(store)):
        plain, still = regions(store, row, 0)
        varied, moved = regions(
            store, row, epoch, mirror=0, rotation=25, scale=0.15, translation=0.05
        )
        assert (moved - still).abs().max() > 0.02
        for name in ("l1", "l2", "l3"):  # the wider ones reach over the picture's edge
            middle = np.s_[..., 8:-8, 8:-8]
            difference = (varied[name][middle] - plain[name][middle]).abs().mean()
            assert difference < 0.02, (row, name)
        # The face as a whole does move.
        assert (varied["g1"] - plain["g1"]).abs().mean() > 0.02


def test_mirrored(store: Store) -> None:
    for row in range(len(store)):
        plain, _ = regions(store, row, 0)
        mirrored, _ = regions(store, row, 0, mirror=1)
        for name in ("l2", "l3"):  # whose targets are symmetric
            assert (mirrored[name].flip(-1) - plain[name]).abs().mean() < 0.005, (row, name)
        # The eye on the left is another one now, so is its region.
        assert (mirrored["l1"].flip(-1) - plain["l1"]).abs().mean() > 0.02
