from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from wrinkle.datasets.dataset import five_points
from wrinkle.datasets.readers.fgnet import FGNet
from wrinkle.faces.decode import decode
from wrinkle.faces.detectors import Detection, create_detector
from wrinkle.faces.detectors.mtcnn import MTCNN
from wrinkle.faces.detectors.mtcnn.pixels import Search
from wrinkle.protocols import utkface

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
    monkeypatch.setattr(MTCNN, "batches", {24: 50, 48: 3})
    monkeypatch.setattr(MTCNN, "canvas", 64)
    monkeypatch.setattr(MTCNN, "canvas_ahead", 96)
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


PLACES = {
    "eileen_collins_1998.jpg": (182, 60, 86, 114),
    "joe_biden_2010.jpg": (156, 58, 100, 144),
    "barack_obama_2012.jpg": (270, 74, 157, 216),
    "grace_hopper_1984.jpg": (167, 119, 179, 215),
}
"""x, y, width and height of the faces."""


def _head(photographs: dict[str, np.ndarray], name: str, height: int) -> np.ndarray:
    """A part of a photograph around the face, which is half of its height."""
    x, y, w, h = PLACES[name]
    part = photographs[name][max(y - h // 2, 0) : y + h * 3 // 2, x - w // 2 : x + w * 3 // 2]
    width = round(part.shape[1] * height / part.shape[0])
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)


def _large_and_small(
    photographs: dict[str, np.ndarray], large: int, small: int, height: int, width: int
) -> np.ndarray:
    """One face of `large` pixels at the left, three of `small` pixels at the right."""
    scene = np.full((height, width, 3), 150, np.uint8)
    head = _head(photographs, "grace_hopper_1984.jpg", 2 * large)
    scene[height - len(head) :, 40 : 40 + head.shape[1]] = head
    for number, name in enumerate(list(PLACES)[:3]):
        head = _head(photographs, name, 2 * small)
        y, x = 20 + number * (len(head) + 15), width - head.shape[1] - 20
        scene[y : y + len(head), x : x + head.shape[1]] = head
    return scene


@pytest.mark.parametrize(
    ("large", "small", "height", "width"),
    [
        (440, 100, 1200, 1600),  # 9 % of the picture
        (440, 140, 1200, 1600),
        (440, 25, 1200, 1600),
        (250, 40, 600, 800),
        (560, 60, 1120, 1300),  # a portrait: 20 %
    ],
)
def test_small_faces_beside_a_large_one(detector, photographs, large, small, height, width):
    (faces,) = detector([_large_and_small(photographs, large, small, height, width)])
    sides = sorted(face.side for face in faces)
    assert len(sides) == 4
    assert max(sides[:3]) < 1.4 * small
    assert sides[3] > 0.8 * large


def test_the_smallest_face_and_score_are_limited(photographs):
    scene = _large_and_small(photographs, 440, 100, 1200, 1600)
    assert len(create_detector("mtcnn", "cpu", 200)([scene])[0]) == 1
    assert len(create_detector("mtcnn", "cpu", 500)([scene])[0]) == 0
    scores = [face.score for face in create_detector("mtcnn", "cpu", None, 0.5)([scene])[0]]
    assert len(scores) >= 4
    between = float(np.mean(sorted(scores)[-2:]))
    assert len(create_detector("mtcnn", "cpu", None, between)([scene])[0]) == 1


@pytest.mark.parametrize("small", [20, 26, 40])
def test_small_faces_beside_a_small_portrait(detector, photographs, small):
    (faces,) = detector([_large_and_small(photographs, 230, small, 460, 480)])
    assert len(faces) == 4
    assert faces[0].area > 0.2 * 460 * 480


class Plain(MTCNN):
    """Every window of the full pyramid goes through P-Net, from 20 pixels on."""

    def __call__(self, images):
        copies = [[image] for image in images]
        searches = [Search(np.empty((0, 4)), 20, np.inf)] * len(images)
        with torch.inference_mode():
            proposed = self._propose(copies, searches, self._windows)
            found = self._refine(copies, [np.ones(2)] * len(images), *proposed)
        return [[face for face in faces if face.score >= 0.9] for faces in found]


def _same_place(one: Detection, other: Detection) -> bool:
    low, high = np.maximum(one.box, other.box)[:2], np.minimum(one.box, other.box)[2:]
    shared = float(np.clip(high - low, 0, None).prod())
    return shared > 0.4 * (one.area + other.area - shared)


def _group(photographs: dict[str, np.ndarray], seed: int) -> np.ndarray:
    """Twelve heads of 20 to 90 pixels on noise, some of them mirrored and darker."""
    rng = np.random.default_rng(seed)
    scene = cv2.resize(rng.integers(60, 190, (45, 60, 3), np.uint8), (1200, 900))
    for row in range(3):
        for column in range(4):
            side = int(np.exp(rng.uniform(np.log(20), np.log(90))))
            head = _head(photographs, list(PLACES)[rng.integers(len(PLACES))], 2 * side)
            head = head[:, :: rng.choice([-1, 1])] * rng.uniform(0.7, 1)
            y, x = 300 * row + rng.integers(0, 110), 300 * column + rng.integers(0, 100)
            scene[y : y + head.shape[0], x : x + head.shape[1]] = head.astype(np.uint8)
    return scene


@pytest.mark.parametrize("seed", range(6))
def test_no_face_of_plain_mtcnn_is_lost_in_a_group(detector, photographs, seed):
    scene = _group(photographs, seed)
    (expected,), (found,) = Plain()([scene]), detector([scene])
    assert len(expected) >= 10
    for face in expected:
        assert any(_same_place(face, other) for other in found)


@pytest.mark.data
@pytest.mark.slow
def test_hardly_a_face_of_plain_mtcnn_is_lost(detector, data_root):
    """UTKFace's test faces, in rows on grey, of 24 to 130 pixels."""
    names = sorted(name for name, part in utkface.parts().items() if part == "test")
    files = {path.name: path for path in (data_root / "utkface").rglob("*.jpg")}
    paths = [files[name] for name in names[::5] if name in files]
    plain = Plain()
    expected = lost = 0
    for number, side in enumerate((36, 42, 50, 60, 80, 100, 130, 200) * 2):
        crops = [decode(path) for path in paths[20 * number : 20 * number + 20]]
        small = [cv2.resize(c, (side, side), interpolation=cv2.INTER_AREA) for c in crops]
        scene = np.vstack([np.hstack(small[5 * i : 5 * i + 5]) for i in range(4)])
        (faces,), (found,) = plain([scene]), detector([scene])
        expected += len(faces)
        lost += sum(not any(_same_place(face, other) for other in found) for face in faces)
    assert expected > 250
    assert lost <= 0.01 * expected


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
