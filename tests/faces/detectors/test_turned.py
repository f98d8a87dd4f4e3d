from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from wrinkle.faces.decode import decode
from wrinkle.faces.detectors import Detection, Detector, create_detector, find_upright, turn

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples").glob("*.jpg"))


@pytest.fixture(scope="module")
def detector() -> Detector:
    return create_detector()


def test_a_picture_is_turned_clockwise() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 0] = 255  # the upper left corner
    assert turn(image, 0) is image
    assert turn(image, 90)[0, 1].all()
    assert turn(image, 180)[1, 2].all()
    assert turn(image, 270)[2, 0].all()
    assert turn(image, 90).shape == (3, 2, 3)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_photographs_are_turned_upright(detector: Detector, degrees: int) -> None:
    # Upside down, the detector takes Grace Hopper's cap for a face, with a score of 0.995.
    limit = "grace_hopper_1984" if degrees == 180 else None
    images = [decode(path) for path in EXAMPLES if path.stem != limit]
    found = find_upright(detector, [turn(image, degrees) for image in images])
    expected = find_upright(detector, images)
    for (rotation, faces), (none, upright) in zip(found, expected, strict=True):
        assert (rotation, none) == (-degrees % 360, 0)
        between = np.linalg.norm(upright[0].key_points[1] - upright[0].key_points[0])
        off = np.linalg.norm(faces[0].key_points - upright[0].key_points, axis=1).max()
        assert off < 0.2 * between


class Fake:
    """Finds a face with a score that is the photograph's first sample, in shares of 255."""

    calls = 0

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        self.calls += len(images)
        return [self._faces(float(image[0, 0, 0]) / 255, image) for image in images]

    def _faces(self, score: float, image: np.ndarray) -> list[Detection]:
        size = np.array(image.shape[1::-1], np.float32)
        points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.3, 0.8], [0.7, 0.8]]) * size
        box = np.concatenate([[0, 0], size]).astype(np.float32)
        return [Detection(box, score, points.astype(np.float32))] if score > 0 else []


def _corners(*scores: float) -> np.ndarray:
    """A picture whose upper left corner has the first score, and the others when it is turned."""
    image = np.zeros((40, 40, 3), np.uint8)
    # Turned clockwise, the lower left corner becomes the upper left one.
    for place, score in zip([(0, 0), (-1, 0), (-1, -1), (0, -1)], scores, strict=True):
        image[place] = round(score * 255)
    return image


@pytest.mark.parametrize(
    ("scores", "rotation"),
    [
        ((0.99, 1, 1, 1), 0),  # sure
        ((0, 0, 0, 0), 0),
        ((0, 0.95, 0, 0.99), 270),
        ((0, 0, 0.85, 0), 0),  # too weak to turn the photograph
        ((0.9, 0.92, 0, 0), 0),  # hardly better
        ((0.85, 0.8, 1, 0.9), 180),
    ],
)
def test_the_angle_with_a_much_better_face(scores: tuple[float, ...], rotation: int) -> None:
    ((found, faces),) = find_upright(Fake(), [_corners(*scores)])
    assert found == rotation
    assert len(faces) == (max(scores[rotation // 90], 0) > 0)


def test_sure_photographs_are_looked_at_once() -> None:
    fake = Fake()
    find_upright(fake, [_corners(0.99, 0, 0, 0)] * 3)
    assert fake.calls == 3
    assert find_upright(fake, []) == []


@pytest.mark.data
@pytest.mark.slow
def test_no_photograph_of_fgnet_is_turned(detector: Detector, data_root: Path) -> None:
    paths = sorted((data_root / "fgnet" / "images").iterdir())
    for start in range(0, len(paths), 32):
        images = [decode(path) for path in paths[start : start + 32]]
        assert not any(rotation for rotation, _ in find_upright(detector, images))


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_most_of_fgnets_photographs_are_turned_back(
    detector: Detector, data_root: Path, degrees: int
) -> None:
    paths = sorted((data_root / "fgnet" / "images").iterdir())[::17]
    found = find_upright(detector, [turn(decode(path), degrees) for path in paths])
    right = [rotation == 360 - degrees for rotation, _ in found]
    assert np.mean(right) >= 0.8
