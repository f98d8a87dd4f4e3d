import math

import numpy as np
import pytest
import torch

from wrinkle.models import bio_inspired, create_model
from wrinkle.models.bio_inspired import (
    ORIENTATIONS,
    FixedPatchFusion,
    bio_inspired_features,
    candidates,
    choose_patches,
    deviations,
    gabor_bank,
    overlaps,
)


def grating(theta: float, wavelength: float, size: int = 64) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    wave = np.cos(2 * np.pi * (x * np.cos(theta) + y * np.sin(theta)) / wavelength)
    return (127 + 100 * wave).astype(np.float32)


def test_a_filter_is_its_formula() -> None:
    side, turn = 9, 3
    sigma = 0.0036 * side**2 + 0.35 * side + 0.18
    theta = math.pi * turn / ORIENTATIONS
    expected = np.zeros((side, side))
    for row in range(side):
        for column in range(side):
            x, y = column - 4, row - 4
            along = x * math.cos(theta) + y * math.sin(theta)
            across = -x * math.sin(theta) + y * math.cos(theta)
            bell = math.exp(-(along**2 + 0.09 * across**2) / (2 * sigma**2))
            expected[row, column] = bell * math.cos(2 * math.pi * along / (sigma / 0.8))
    expected -= expected.mean()
    found = gabor_bank()[1][turn]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)


@pytest.mark.parametrize("turn", [0, 2, 5])
def test_stripes_answer_to_the_filter_of_their_direction(turn: int) -> None:
    sigma = 0.0036 * 9**2 + 0.35 * 9 + 0.18
    picture = grating(math.pi * turn / ORIENTATIONS, sigma / 0.8)
    means = [
        np.abs(bio_inspired.cv2.filter2D(picture, -1, each)).mean()
        for each in gabor_bank()[1][:ORIENTATIONS]
    ]
    assert int(np.argmax(means)) == turn


def test_deviations_are_those_of_the_pixels() -> None:
    values = np.random.default_rng(0).normal(5, 2, (3, 16, 16))
    boxes = np.array([[-1, -1, 0, 0.5], [0.25, -0.5, 1, 1]])
    found = deviations(values, boxes)
    cells = values[:, 0:12, 0:8], values[:, 4:16, 10:16]
    for row, cell in zip(found, cells, strict=True):
        np.testing.assert_allclose(row, cell.std((1, 2)), rtol=1e-5)


def test_features_have_a_row_for_every_candidate() -> None:
    features = bio_inspired_features(grating(0.3, 8))
    assert features.shape == (len(candidates()), 4 * ORIENTATIONS)
    assert not bio_inspired_features(np.full((64, 64), 90, np.float32)).max() > 1e-2
    boxes = candidates()
    assert ((boxes >= -1) & (boxes <= 1 + 1e-9)).all()


def test_overlap_by_hand() -> None:
    box = np.array([0.0, 0.0, 1.0, 1.0])
    others = np.array([[0, 0, 1, 1], [0.5, 0, 1.5, 1], [2, 2, 3, 3]], float)
    np.testing.assert_allclose(overlaps(box, others), [1, 1 / 3, 0])


def test_adaboost_finds_the_patches_that_tell_the_age() -> None:
    pytest.importorskip("sklearn")
    random = np.random.default_rng(0)
    ages = random.uniform(0, 80, 200)
    features = random.normal(size=(200, len(candidates()), 4)).astype(np.float32)
    features[:, 17, 2] += ages  # much of the age
    features[:, 200, 1] += 0.2 * ages  # less of it
    chosen = choose_patches(features, ages, 5)
    np.testing.assert_allclose(chosen[0], candidates()[17])
    assert any(np.allclose(box, candidates()[200]) for box in chosen[:3])
    for place, box in enumerate(chosen):
        assert (overlaps(box, chosen[:place]) <= bio_inspired.OVERLAP).all()
    np.testing.assert_array_equal(choose_patches(features, ages, 5), chosen)


def test_more_patches_than_can_be_apart() -> None:
    pytest.importorskip("sklearn")
    random = np.random.default_rng(0)
    features = random.normal(size=(30, len(candidates()), 1)).astype(np.float32)
    chosen = choose_patches(features, random.uniform(0, 80, 30), 60)
    assert chosen.shape == (60, 4)
    assert len(np.unique(chosen, axis=0)) == 60


def test_places_are_learned_and_the_same_in_every_face() -> None:
    pytest.importorskip("sklearn")
    torch.manual_seed(0)
    model = create_model("bif_fusion", input_size=64, width=4, patch_size=32).eval()
    assert isinstance(model, FixedPatchFusion)
    random = np.random.default_rng(0)
    views = torch.from_numpy(random.random((30, 3, 64, 64), np.float32)).split(16)
    model.before_training(views, torch.from_numpy(random.uniform(0, 80, 30)))
    boxes = model.find_patches(torch.zeros(3, 3, 64, 64))
    assert torch.equal(boxes[0], boxes[2])
    assert len(np.unique(boxes[0].numpy(), axis=0)) == 5
    again = create_model("bif_fusion", input_size=64, width=4, patch_size=32)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.find_patches(torch.zeros(1, 3, 64, 64))[0], boxes[0])
