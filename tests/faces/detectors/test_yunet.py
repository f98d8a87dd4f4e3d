from pathlib import Path

import numpy as np
import pytest

from wrinkle.errors import WrinkleError
from wrinkle.faces.decode import decode
from wrinkle.faces.detectors.yunet import YuNet

ROOT = Path(__file__).resolve().parents[3]
MODEL = ROOT.parent / "shared" / "models" / "yunet_n_dynamic.onnx"
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def detector() -> YuNet:
    if not MODEL.is_file():
        pytest.skip(f"no YuNet model at {MODEL}")
    return YuNet("cpu", str(MODEL))


def test_the_face_is_found_at_its_position(detector):
    photograph = decode(EXAMPLES / "grace_hopper_1984.jpg")
    (faces,) = detector([photograph])
    assert len(faces) == 1
    assert 0.6 <= faces[0].score <= 1
    assert faces[0].landmarks is None
    assert faces[0].box.dtype == faces[0].key_points.dtype == np.float32
    # Hand-placed in the photograph, in pixels.
    by_hand = [[229, 203], [312, 202], [274, 245], [244, 285], [303, 285]]
    assert np.abs(faces[0].key_points - by_hand).max() < 15
    x1, y1, x2, y2 = faces[0].box
    assert (faces[0].key_points > [x1, y1]).all()
    assert (faces[0].key_points < [x2, y2]).all()


def test_every_examples_face_is_found(detector):
    photographs = [decode(file) for file in sorted(EXAMPLES.glob("*.jpg"))]
    assert len(photographs) >= 4
    for photograph, faces in zip(photographs, detector(photographs), strict=True):
        height, width = photograph.shape[:2]
        assert len(faces) >= 1
        assert (faces[0].key_points > 0).all()
        assert (faces[0].key_points < [width, height]).all()


def test_detections_scale_with_the_photograph(detector):
    photograph = decode(EXAMPLES / "grace_hopper_1984.jpg")
    (small,), (large,) = detector([photograph, photograph.repeat(3, 0).repeat(3, 1)])
    eyes = np.linalg.norm(small.key_points[1] - small.key_points[0])
    assert np.abs(large.key_points / 3 - small.key_points).max() < 0.06 * eyes


def test_the_most_prominent_face_is_first(detector):
    photograph = decode(EXAMPLES / "grace_hopper_1984.jpg")
    small = photograph[::2, ::2]
    wide = np.zeros((600, 512 + 256, 3), np.uint8)
    wide[:300, :256], wide[:, 256:] = small, photograph
    (faces,) = detector([wide])
    assert len(faces) == 2
    assert faces[0].area > 2 * faces[1].area
    assert faces[0].box[0] > 256 > faces[1].box[2]


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (7, 5)])
def test_tiny_photographs_have_no_face(detector, shape):
    assert detector([np.zeros((*shape, 3), np.uint8)]) == [[]]


def test_a_file_of_another_format_is_one_line(tmp_path, capfd):
    text = tmp_path / "text.onnx"
    text.write_text("not a network")
    for path in ("", tmp_path / "missing.onnx", tmp_path, text):
        with pytest.raises(WrinkleError) as caught:
            YuNet("cpu", str(path))
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
