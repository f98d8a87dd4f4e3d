import os
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wrinkle.datasets import loader
from wrinkle.datasets.augment import Augment, motion_matrix
from wrinkle.datasets.loader import (
    Draw,
    EpochBatches,
    Faces,
    Item,
    balance_weights,
    create_loader,
    normalised_motion,
    read_batches,
)
from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.faces.align import MIRRORED, TEMPLATE, face_input
from wrinkle.faces.input import InputSpec
from wrinkle.layers import crop_patches, patch_maps
from wrinkle.models.fusion_net import moved

CPU = torch.device("cpu")
AUGMENT = Augment(rotation=20, scale=0.2, translation=0.1)


def spec(size: int, zoom: float = 1.0) -> InputSpec:
    """An input whose pixels stay in [0, 1]."""
    return InputSpec(size, zoom, 48, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def seen(item: Item, size: int) -> torch.Tensor:
    """The picture (1, 3, size, size) that a network is shown of an item."""
    return spec(size).images(item.crop[None], item.matrix[None])


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


def load(store: Path, workers: int, augment: Augment | None = AUGMENT) -> list[torch.Tensor]:
    every = Store(store)
    boxes = np.random.default_rng(0).random((len(every), 2, 3, 4)).astype(np.float32)
    faces = Faces(every, spec(32), augment, 7, {"boxes": boxes})
    sampler = batches(85, 20)
    sampler.start(1)
    found = list(read_batches(create_loader(faces, sampler, workers, CPU), CPU))
    plain = ("crop", "matrix", "key_points", "age", "deviation", "side", "motion")
    parts = {name: torch.cat([getattr(batch, name) for batch in found]) for name in plain}
    return [*parts.values(), torch.cat([batch.extras["boxes"] for batch in found])]


def test_batches_do_not_depend_on_workers(drawn_store: Path) -> None:
    for a, b in zip(load(drawn_store, 0), load(drawn_store, 2), strict=True):
        assert torch.equal(a.nan_to_num(-1), b.nan_to_num(-1))


def test_without_augmentation_key_points_lie_on_the_template(drawn_store: Path) -> None:
    item = Faces(Store(drawn_store), spec(32))[Draw(0, 5, 0)]
    np.testing.assert_allclose(item.key_points, TEMPLATE, atol=1e-5)
    assert item.age == 5 * 37 % 81
    assert item.deviation.isnan()
    assert item.side == 0
    torch.testing.assert_close(item.motion, torch.eye(2, 3))
    wider = Faces(Store(drawn_store), spec(32, 0.8))[Draw(0, 5, 0)]
    np.testing.assert_allclose(wider.key_points, TEMPLATE * 0.8, atol=1e-5)


class Dots:
    """A 'store' of one picture with a white dot on each key point."""

    def __init__(self) -> None:
        self.key_points = ((TEMPLATE * 0.6 + 1) * 64)[None].astype(np.float32)
        self.ages = np.array([30.0], np.float32)
        self.ranges, self.exact = np.full((1, 2), np.nan, np.float32), np.array([True])
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
    augment = Augment(mirror=mirror, rotation=25, scale=0.2, translation=0.05)
    faces = Faces(Dots(), spec(96, 0.9), augment, seed=3)  # type: ignore[arg-type]
    for number in range(10):
        item = faces[Draw(number, 0, 0)]
        pixels = seen(item, 96)[0].numpy()
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
    item = Faces(Store(drawn_store), spec(32))[Draw(0, 0, 0)]
    plain = face_input(item.crop[None], item.matrix[None], 32, (0.0,) * 3, (1.0,) * 3)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    normalised = InputSpec(32, 1.0, 48, mean, std)
    images = normalised.images(item.crop[None], item.matrix[None])
    assert plain.min() >= 0
    assert plain.max() <= 1
    expected = (plain - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(images, expected)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_patches_move_with_the_face(drawn_store: Path) -> None:
    """What a moved patch shows of the varied view is what it shows of the plain one, or of its
    mirror image where the view is mirrored."""
    store = Store(drawn_store)
    low = np.random.default_rng(0).uniform(-0.6, 0, (len(store), 2, 3, 2))
    boxes = np.concatenate([low, low + 0.6], -1).astype(np.float32)
    augment = Augment(mirror=0.5, rotation=20, scale=0.1, translation=0.05)
    plain, varied = Faces(store, spec(64)), Faces(store, spec(64), augment, 0, {"boxes": boxes})
    sides, own, others = set(), [], []
    for row in range(12):
        item, other = plain[Draw(0, row, 0)], varied[Draw(0, row, 0)]
        image, view = seen(item, 64), seen(other, 64)
        mirrored = bool(torch.det(other.matrix[:, :2]) < 0)
        assert int(other.side) == int(mirrored)
        sides.add(mirrored)
        known = patch_maps(other.extras["boxes"][other.side][None])
        np.testing.assert_array_equal(other.extras["boxes"], boxes[row])
        expected = crop_patches(image.flip(-1) if mirrored else image, known, 16)
        patches = moved(known, other.motion[None])
        assert patches.shape == (1, 3, 2, 3)
        found = crop_patches(view, patches, 16)
        own.append((found - expected).abs().mean().item())
        others.append((found - expected.roll(1, 1)).abs().mean().item())
    assert sides == {True, False}
    assert max(own) < 0.05
    assert np.mean(own) < 0.3 * np.mean(others)


@given(
    st.floats(-180, 180),
    st.floats(0.5, 2),
    st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
    st.booleans(),
)
def test_a_motion_says_where_points_of_the_view_land(
    degrees: float, scale: float, shift: tuple[float, float], mirror: bool
) -> None:
    """Point by point through pixels: from the view that the motion starts at to the input."""
    size = 40
    motion = motion_matrix(size, degrees, scale, shift, mirror)
    found = normalised_motion(motion, mirror, size)
    for x, y in ((0.0, 0.0), (0.3, -0.7), (-1.0, 1.0)):
        column, row = (x + 1) * size / 2, (y + 1) * size / 2
        if mirror:  # the motion is one of the plain view, the point one of its mirror image
            column = size - column
        landed = motion @ (column, row, 1.0)
        np.testing.assert_allclose(found @ (x, y, 1.0), 2 * landed / size - 1, atol=1e-9)


def test_plain_faces_bring_the_extras_of_both_sides(drawn_store: Path) -> None:
    store = Store(drawn_store)
    boxes = np.random.default_rng(0).random((len(store), 2, 3, 4)).astype(np.float32)
    item = Faces(store, spec(32), extras={"boxes": boxes})[Draw(0, 5, 0)]
    assert list(item.extras) == ["boxes"]
    np.testing.assert_array_equal(item.extras["boxes"], boxes[5])
    assert item.side == 0
    torch.testing.assert_close(item.motion, torch.eye(2, 3))
    unmoved = moved(patch_maps(item.extras["boxes"]), item.motion.expand(2, 2, 3))
    torch.testing.assert_close(unmoved, patch_maps(torch.from_numpy(boxes[5])))
    assert Faces(store, spec(32))[Draw(0, 5, 0)].extras == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_worker_whose_parent_was_killed_ends() -> None:
    """Otherwise it would wait for ever."""
    child = os.fork()
    if child == 0:
        loader._start_worker(os.getppid() + 1, 0)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
