from pathlib import Path

import cv2
import numpy as np
import pytest

from wrinkle.datasets.dataset import five_points
from wrinkle.datasets.readers.fgnet import FGNet
from wrinkle.faces.decode import decode
from wrinkle.faces.detectors import Detection
from wrinkle.faces.detectors.mtcnn import MTCNN

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"
EYES = {
    "barack_obama_2009.jpg": [[166, 245], [243, 252]],
    "barack_obama_2012.jpg": [[312, 150], [386, 149]],
    "eileen_collins_1998.jpg": [[203, 101], [246, 103]],
    "grace_hopper_1984.jpg": [[221, 191], [308, 186]],
    "joe_biden_2010.jpg": [[193, 117], [236, 126]],
}
"""Pupils placed by hand, in pixels."""


@pytest.fixture(scope="module")
def detector() -> MTCNN:
    return MTCNN()


@pytest.fixture(scope="module")
def photographs() -> dict[str, np.ndarray]:
    return {name: decode(EXAMPLES / name) for name in EYES}


def _eye_error(face: Detection, eyes: np.ndarray) -> float:
    """Mean distance of both eyes, as a share of the distance between them."""
    between = float(np.linalg.norm(eyes[1] - eyes[0]))
    return float(np.linalg.norm(face.key_points[:2] - eyes, axis=1).mean()) / between


def test_every_examples_face_and_eyes_are_found(detector, photographs):
    found = detector(list(photographs.values()))
    for (name, photograph), faces in zip(photographs.items(), found, strict=True):
        face = faces[0]
        assert face.box.dtype == face.key_points.dtype == np.float32
        assert face.box.shape == (4,)
        assert face.key_points.shape == (5, 2)
        assert face.landmarks is None
        assert 0.8 < face.score <= 1
        assert _eye_error(face, np.array(EYES[name])) < 0.06
        left, right, nose, mouth_left, mouth_right = face.key_points
        assert left[0] < nose[0] < right[0]
        assert mouth_left[0] < mouth_right[0]
        assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])
        assert (face.key_points > face.box[:2] - 1).all()
        assert (face.key_points < face.box[2:] + 1).all()
        prominence = [f.score * f.area for f in faces]
        assert prominence == sorted(prominence, reverse=True)
        assert face.area < photograph.shape[0] * photograph.shape[1]


def _assert_same(some: list[Detection], others: list[Detection]) -> None:
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        np.testing.assert_allclose(one.box, other.box, atol=1e-3)
        np.testing.assert_allclose(one.key_points, other.key_points, atol=1e-3)
        assert one.score == pytest.approx(other.score, abs=1e-3)


def test_detections_do_not_depend_on_the_rest_of_the_batch(detector, photographs, monkeypatch):
    pictures = list(photographs.values())
    pictures += [np.full((7, 5, 3), 128, np.uint8), pictures[0][:, ::-1], pictures[3][:301, :407]]
    alone = [detector([picture])[0] for picture in pictures]
    assert sum(map(len, alone)) >= 7
    for order in (range(8), reversed(range(8)), [4, 4, 0, 5, 7, 2]):
        order = list(order)
        for index, faces in zip(order, detector([pictures[i] for i in order]), strict=True):
            _assert_same(faces, alone[index])
    monkeypatch.setattr(MTCNN, "batch", 50)
    monkeypatch.setattr(MTCNN, "pixels", 30_000)
    for faces, expected in zip(detector(pictures), alone, strict=True):
        _assert_same(faces, expected)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 3), (5, 300), (300, 5), (11, 11), (12, 13), (1, 200_000)]
)
def test_tiny_pictures_and_strips_have_no_face(detector, shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert detector([picture]) == [[]]


def test_no_pictures_and_pictures_without_a_face(detector):
    assert detector([]) == []
    assert detector([np.full((300, 400, 3), 90, np.uint8)] * 2) == [[], []]


def test_a_small_face_in_a_large_picture_is_found(detector, photographs):
    name = "grace_hopper_1984.jpg"
    scale = 0.12  # her eyes are ten pixels apart
    small = cv2.resize(photographs[name], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    large = np.full((900, 1200, 3), 110, np.uint8)
    large[600 : 600 + small.shape[0], 700 : 700 + small.shape[1]] = small
    (faces,) = detector([large])
    assert len(faces) == 1
    step = np.array([small.shape[1], small.shape[0]]) / photographs[name].shape[1::-1]
    assert _eye_error(faces[0], np.array(EYES[name]) * step + [700, 600]) < 0.12


def test_a_face_that_fills_the_picture_is_found(detector, photographs):
    tight = photographs["grace_hopper_1984.jpg"][150:320, 175:345]
    (faces,) = detector([tight])
    assert len(faces) == 1
    assert _eye_error(faces[0], np.array(EYES["grace_hopper_1984.jpg"]) - [175, 150]) < 0.1


def test_detections_scale_with_the_photograph(detector, photographs):
    photograph = photographs["joe_biden_2010.jpg"]
    large = cv2.resize(photograph, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    (faces,) = detector([large])
    assert _eye_error(faces[0], 4 * np.array(EYES["joe_biden_2010.jpg"])) < 0.06


def test_every_face_of_a_crowd_is_found(detector, photographs):
    tiles = [cv2.resize(p, (160, 160), interpolation=cv2.INTER_AREA) for p in photographs.values()]
    crowd = np.vstack([np.hstack(tiles[i:] + tiles[:i]) for i in range(4)])
    (faces,) = detector([crowd])
    cells = {tuple((face.key_points[2] // 160).astype(int)) for face in faces}
    assert len(cells) == 20


@pytest.mark.data
@pytest.mark.slow
def test_fgnet_is_found_at_the_hand_placed_eyes(detector, data_root):
    rows, _ = FGNet().read(data_root / "fgnet")
    errors = []
    for start in range(0, len(rows), 16):
        part = rows[start : start + 16]
        for row, faces in zip(part, detector([decode(row.path) for row in part]), strict=True):
            assert row.landmarks is not None
            eyes = five_points(row.landmarks, FGNet.key_points)[:2]
            errors.append(_eye_error(faces[0], eyes) if faces else np.inf)
    assert len(errors) == 1002
    assert np.mean(np.array(errors) < 0.5) >= 0.99
    assert np.median(errors) < 0.06
