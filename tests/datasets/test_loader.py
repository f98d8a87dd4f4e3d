from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wrinkle.datasets.loader import (
    Draw,
    EpochBatches,
    Faces,
    balance_weights,
    create_loader,
    read_batches,
)
from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.faces.align import MIRRORED, TEMPLATE, face_input
from wrinkle.layers import crop_patches, patch_maps
from wrinkle.runs import recipe

CPU = torch.device("cpu")
AUGMENT = recipe.Augment(rotation=20, scale=0.2, translation=0.1)


def batches(rows: int, batch: int, rank: int = 0, world: int = 1, seed: int = 0) -> EpochBatches:
    return EpochBatches(np.arange(rows) * 3, np.ones(rows), batch, seed, rank, world)


def epoch(sampler: EpochBatches, number: int, step: int = 0) -> list[list[Draw]]:
    sampler.start(number, step)
    return list(sampler)


@given(st.integers(2, 300), st.integers(2, 64), st.integers(0, 5), st.integers(0, 2**63 - 1))
def test_an_epoch_has_every_row_once_in_even_batches(
    rows: int, batch: int, number: int, seed: int
) -> None:
    steps = epoch(batches(rows, batch, seed=seed), number)
    drawn = [draw.row for step in steps for draw in step]
    assert sorted(drawn) == list(range(0, 3 * rows, 3))
    sizes = {len(step) for step in steps}
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1
    assert all(draw.epoch == number and draw.draw == 0 for step in steps for draw in step)


@given(st.integers(60, 200), st.integers(8, 32), st.integers(1, 4), st.integers(0, 3))
def test_processes_share_each_step(rows: int, batch: int, world: int, number: int) -> None:
    whole = epoch(batches(rows, batch), number)
    parts = [epoch(batches(rows, batch, rank, world), number) for rank in range(world)]
    sampler = batches(rows, batch)
    for step, draws in enumerate(whole):
        shares = [part[step] for part in parts]
        assert sorted(draw for share in shares for draw in share) == sorted(draws)
        assert sum(map(len, shares)) == sampler.step_size(step)
        assert min(map(len, shares)) >= 1


def test_order_starts_at_any_step_and_changes_with_seed_and_epoch() -> None:
    sampler = batches(100, 16)
    whole = epoch(sampler, 2)
    assert epoch(sampler, 2, 4) == whole[4:]
    assert len(sampler) == 3
    assert epoch(sampler, 3) != whole
    assert epoch(batches(100, 16, seed=1), 2) != whole


def test_too_few_pictures_for_the_processes() -> None:
    with pytest.raises(WrinkleError, match=r"3 training pictures.*too few for 4"):
        batches(3, 2, world=4)


def test_weights_are_followed_as_evenly_as_whole_numbers_can() -> None:
    ages = np.array([20] * 90 + [70] * 10)
    weights = balance_weights(ages, 1.0)
    assert weights.mean() == pytest.approx(1)
    assert weights[:90].sum() == pytest.approx(weights[90:].sum(), rel=1e-3)
    sampler = EpochBatches(np.arange(100), weights, 10, 0)
    counts = Counter(draw.row for step in epoch(sampler, 0) for draw in step)
    assert all(counts[row] in (4, 5, 6) for row in range(90, 100))
    assert all(counts[row] in (0, 1) for row in range(90))
    draws = [draw for step in epoch(sampler, 0) for draw in step]
    assert len(set(draws)) == len(draws), "a row drawn again is varied anew"


def test_balance_exponents() -> None:
    ages = np.array([20] * 80 + [70] * 20)
    assert balance_weights(ages, 0.0) == pytest.approx(np.ones(100))
    half = balance_weights(ages, 0.5)
    assert half[-1] / half[0] == pytest.approx(2, rel=1e-3)  # √(80 / 20)


def load(store: Path, workers: int, augment: recipe.Augment | None = AUGMENT) -> list[torch.Tensor]:
    faces = Faces(Store(store), 32, 1.0, augment, seed=7)
    sampler = batches(85, 20)
    sampler.start(1)
    found = list(read_batches(create_loader(faces, sampler, workers, CPU), CPU))
    return [torch.cat([batch[part] for batch in found]) for part in range(4)]


def test_batches_do_not_depend_on_workers(drawn_store: Path) -> None:
    for a, b in zip(load(drawn_store, 0), load(drawn_store, 2), strict=True):
        assert torch.equal(a, b)


def test_without_augmentation_key_points_lie_on_the_template(drawn_store: Path) -> None:
    faces = Faces(Store(drawn_store), 32, 1.0)
    item = faces[Draw(0, 5, 0)]
    np.testing.assert_allclose(item.key_points, TEMPLATE, atol=1e-5)
    assert item.age == 5 * 37 % 81
    assert item.deviation.isnan()
    wider = Faces(Store(drawn_store), 32, 0.8)[Draw(0, 5, 0)]
    np.testing.assert_allclose(wider.key_points, TEMPLATE * 0.8, atol=1e-5)


class Dots:
    """A 'store' of one picture with a white dot on each key point."""

    def __init__(self) -> None:
        self.key_points = ((TEMPLATE * 0.6 + 1) * 64)[None].astype(np.float32)
        self.ages = np.array([30.0], np.float32)
        self.columns = pa.table({"age_deviation": pa.array([None], pa.float32())})
        self.picture = np.zeros((128, 128, 3), np.uint8)
        for number, (x, y) in enumerate(self.key_points[0]):
            # 16ths of a pixel; OpenCV's pixel centres are whole numbers, ours halves.
            place = (round((x - 0.5) * 16), round((y - 0.5) * 16))
            cv2.circle(self.picture, place, 48, (255, 40 * number, 0), -1, shift=4)

    def __len__(self) -> int:
        return 1

    def image(self, row: int) -> np.ndarray:
        return self.picture


@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_key_points_land_where_the_picture_shows_them(mirror: float) -> None:
    augment = recipe.Augment(mirror=mirror, rotation=25, scale=0.2, translation=0.05)
    faces = Faces(Dots(), 96, 0.9, augment, seed=3)  # type: ignore[arg-type]
    for number in range(10):
        item = faces[Draw(number, 0, 0)]
        batch = type(item)(*(part[None] for part in item))
        pixels = face_input(batch.crop, batch.matrix, 96, (0.0,) * 3, (1.0,) * 3)[0].numpy()
        y, x = np.mgrid[:96, :96] + 0.5
        for point, (px, py) in enumerate((item.key_points.numpy() + 1) * 48):
            near = (np.hypot(x - px, y - py) < 6) & (pixels[0] > 0.3)
            weight = pixels[0] * near
            found = (x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()
            np.testing.assert_allclose(found, (px, py), atol=0.35)
            # The dots' green tells them apart: left and right have traded places when mirrored.
            dot = MIRRORED[point] if mirror else point
            green = (pixels[1] * near).sum() / weight.sum()
            assert green == pytest.approx(40 * dot / 255, abs=0.03)


def test_network_input_is_normalised_and_channels_last(drawn_store: Path) -> None:
    faces = Faces(Store(drawn_store), 32, 1.0)
    item = faces[Draw(0, 0, 0)]
    batch = type(item)(*(part[None] for part in item))
    plain = face_input(batch.crop, batch.matrix, 32, (0.0,) * 3, (1.0,) * 3)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    images = face_input(batch.crop, batch.matrix, 32, mean, std)
    assert plain.min() >= 0
    assert plain.max() <= 1
    expected = (plain - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(images, expected)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_patches_move_with_the_face(drawn_store: Path) -> None:
    """What a patch shows of the varied view is what it shows of the plain one, or of its mirror
    picture where the view is mirrored."""
    store = Store(drawn_store)
    low = np.random.default_rng(0).uniform(-0.6, 0, (len(store), 2, 3, 2))
    boxes = np.concatenate([low, low + 0.6], -1).astype(np.float32)
    augment = recipe.Augment(mirror=0.5, rotation=20, scale=0.1, translation=0.05)
    plain, varied = Faces(store, 64, 1.0), Faces(store, 64, 1.0, augment, 0, boxes)
    seen, own, others = set(), [], []
    for row in range(12):
        item, other = plain[Draw(0, row, 0)], varied[Draw(0, row, 0)]
        image, view = (
            face_input(i.crop[None], i.matrix[None], 64, (0, 0, 0), (1, 1, 1))
            for i in (item, other)
        )
        mirrored = bool(torch.det(other.matrix[:, :2]) < 0)
        seen.add(mirrored)
        known = patch_maps(torch.from_numpy(boxes[row, int(mirrored)])[None])
        expected = crop_patches(image.flip(-1) if mirrored else image, known, 16)
        found = crop_patches(view, other.patches, 16)
        assert other.patches.shape == (1, 3, 2, 3)
        own.append((found - expected).abs().mean().item())
        others.append((found - expected.roll(1, 1)).abs().mean().item())
    assert seen == {True, False}
    assert max(own) < 0.05
    assert np.mean(own) < 0.3 * np.mean(others)


def test_plain_faces_bring_the_patches_of_both_pictures(drawn_store: Path) -> None:
    store = Store(drawn_store)
    boxes = np.random.default_rng(0).random((len(store), 2, 3, 4)).astype(np.float32)
    item = Faces(store, 32, 1.0, patches=boxes)[Draw(0, 5, 0)]
    torch.testing.assert_close(item.patches, patch_maps(torch.from_numpy(boxes[5])))
    assert Faces(store, 32, 1.0)[Draw(0, 5, 0)].patches.numel() == 0
