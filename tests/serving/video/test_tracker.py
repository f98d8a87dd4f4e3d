import numpy as np
import pytest

from wrinkle.faces.detectors import Detection
from wrinkle.serving.video.tracker import PATIENCE, Tracker, look

STEP = 0.16


def scene(*squares: tuple[float, float, float, int]) -> tuple[np.ndarray, list[Detection]]:
    """A picture with textured squares (x, y, side, texture), the first in front; what is covered by
    more than half is not found."""
    image = np.full((400, 1000, 3), 120, np.uint8)
    found = []
    for k, (x, y, side, texture) in reversed(list(enumerate(squares))):
        pattern = np.random.default_rng(texture).integers(0, 255, (4, 4, 3)).astype(np.uint8)
        left, top, size = round(x - side / 2), round(y - side / 2), round(side)
        image[top : top + size, left : left + size] = np.kron(
            pattern, np.ones((size // 4 + 1, size // 4 + 1, 1), np.uint8)
        )[:size, :size]
        covered = any(abs(x - a) < side / 2 and abs(y - b) < side / 2 for a, b, *_ in squares[:k])
        if not covered:
            box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)
            found.append(Detection(box, 1.0, np.zeros((5, 2), np.float32)))
    return image, found[::-1]


def test_a_face_that_moves_keeps_its_number() -> None:
    tracker = Tracker()
    for k in range(20):
        image, found = scene((100 + 30 * k, 200, 60, 1), (800 - 3 * k, 100, 80, 2))
        assert tracker.update(k * STEP, image, found) == [1, 2]


def test_two_that_cross_keep_their_numbers() -> None:
    tracker = Tracker()
    seen = []
    for k in range(25):
        image, found = scene((100 + 30 * k, 200, 80, 1), (850 - 30 * k, 205, 80, 2))
        seen.append(tracker.update(k * STEP, image, found))
    assert [1] in seen  # one was covered
    assert seen[0] == seen[-1] == [1, 2]


def test_a_cut_to_another_person_is_a_new_number() -> None:
    tracker = Tracker()
    assert tracker.update(0, *scene((300, 200, 80, 1))) == [1]
    assert tracker.update(STEP, *scene((300, 200, 80, 1))) == [1]
    assert tracker.update(2 * STEP, *scene((300, 200, 80, 9))) == [2]
    assert tracker.update(3 * STEP, *scene((300, 200, 240, 9))) == [3]


def test_a_cut_to_another_scene_is_a_new_number() -> None:
    tracker = Tracker()
    image, found = scene((300, 200, 80, 1))
    assert tracker.update(0, image, found) == [1]
    assert tracker.update(STEP, image + np.uint8(10), found) == [1]
    assert tracker.update(2 * STEP, image + np.uint8(60), found) == [2]


def test_a_face_is_remembered_for_a_second() -> None:
    for gap, number in ((0.9 * PATIENCE, 1), (1.2 * PATIENCE, 2)):
        tracker = Tracker()
        tracker.update(0, *scene((300, 200, 80, 1)))
        for k in range(1, 6):
            assert tracker.update(gap * k / 6, *scene()) == []
        assert tracker.update(gap, *scene((310, 200, 80, 1))) == [number]


def test_looks_differ_between_pictures_and_not_with_light() -> None:
    image, (one, other) = scene((300, 200, 80, 1), (600, 200, 120, 2))
    first, second = (look(image, face.box) for face in (one, other))
    assert np.linalg.norm(first) == pytest.approx(1)
    assert first.mean() == pytest.approx(0, abs=1e-6)
    darker = look((image * 0.6).astype(np.uint8), one.box)
    assert first @ darker > 0.99
    assert first @ second < 0.5


def test_boxes_beyond_the_border_have_a_look() -> None:
    image, _ = scene((300, 200, 80, 1))
    for box in ([-50, -50, 20, 20], [990, 390, 1100, 500], [-90, -90, -10, -10]):
        assert np.isfinite(look(image, np.array(box, np.float32))).all()
