import sys
from pathlib import Path

import numpy as np
import pytest

from wrinkle.errors import WrinkleError
from wrinkle.faces.decode import decode
from wrinkle.faces.detectors.dlib68 import Dlib68, five_of_68

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture(scope="module")
def detector() -> Dlib68:
    pytest.importorskip("dlib", reason="the extra 'dlib' is not installed")
    try:
        return Dlib68()
    except WrinkleError as error:
        pytest.skip(str(error))


def test_five_of_68_by_hand():
    landmarks = np.arange(136, dtype=np.float32).reshape(68, 2)  # point i is (2i, 2i + 1)
    expected = [[77, 78], [89, 90], [60, 61], [96, 97], [108, 109]]
    np.testing.assert_array_equal(five_of_68(landmarks), np.float32(expected))


def test_the_face_is_found_at_its_position(detector):
    photograph = decode(EXAMPLES / "grace_hopper_1984.jpg")
    (faces,) = detector([photograph])
    face = faces[0]
    assert 0.5 <= face.score <= 1
    assert face.box.dtype == face.key_points.dtype == face.landmarks.dtype == np.float32
    assert face.landmarks.shape == (68, 2)
    # Hand-placed in the photograph, in pixels.
    by_hand = [[229, 203], [312, 202], [274, 245], [244, 285], [303, 285]]
    assert np.abs(face.key_points - by_hand).max() < 15
    x1, y1, x2, y2 = face.box
    assert (face.key_points > [x1, y1]).all()
    assert (face.key_points < [x2, y2]).all()


def test_detections_depend_on_neither_scale_nor_batch(detector):
    photograph = decode(EXAMPLES / "joe_biden_2010.jpg")
    doubled = photograph.repeat(2, 0).repeat(2, 1)
    one, nothing, two = detector([photograph, np.full((50, 80, 3), 128, np.uint8), doubled])
    assert nothing == []
    # Doubling maps the continuous coordinate x to 2x exactly; the fit itself may move a little.
    distance = np.abs(two[0].key_points / 2 - one[0].key_points).max()
    assert distance < 0.06 * (one[0].box[2] - one[0].box[0])


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (7, 5)])
def test_tiny_photographs_have_no_face(detector, shape):
    assert detector([np.zeros((*shape, 3), np.uint8)]) == [[]]


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(WrinkleError, match=r"pip install '.\[dlib\]'"):
        Dlib68()
