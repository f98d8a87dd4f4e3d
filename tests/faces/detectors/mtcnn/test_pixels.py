import cv2
import numpy as np
import pytest

from wrinkle.faces.detectors.mtcnn.pixels import (
    Search,
    cut,
    halvings,
    pyramid,
    resize_box,
    shrink,
)


def test_box_pixels_are_resized_and_black_outside_the_picture():
    image = np.full((40, 50, 3), 200, np.uint8)
    out = np.empty((24, 24, 3), np.uint8)
    resize_box(image, np.array([-12.0, -12, 12, 12]), out)
    assert (out[12:, 12:] == 200).all()
    assert (out[:12] == 0).all()
    assert (out[:, :12] == 0).all()
    resize_box(image, np.array([60.0, 0, 84, 24]), out)
    assert (out == 0).all()
    resize_box(image, np.array([48.0, 38, 96, 86]), out)
    assert (out[0, 0] == 200).all()
    assert (out[1:] == 0).all()


def test_halvings_are_means_of_four_pixels():
    image = np.random.default_rng(0).integers(0, 256, (53, 61, 3), np.uint8)
    copies = halvings(image, 12)
    assert [copy.shape[:2] for copy in copies] == [(53, 61), (26, 30), (13, 15)]
    means = image[:52, :60].reshape(26, 2, 30, 2, 3).mean((1, 3))
    assert np.abs(copies[1] - means).max() <= 0.5


def test_a_picture_is_shrunk_to_about_a_scale():
    across = np.arange(160, dtype=np.uint8)  # of the sample in column i
    copies = halvings(np.tile(across[None, :, None], (123, 1, 3)), 12)
    for scale in (0.9, 0.6, 0.3, 0.13):
        for method in (cv2.INTER_LINEAR, cv2.INTER_AREA):
            picture, exact = shrink(copies, scale, method)
            assert exact == pytest.approx([scale] * 2, rel=0.05)
            expected = (np.arange(picture.shape[1]) + 0.5) / exact[0] - 0.5
            assert np.abs(picture[..., 0] - expected)[:, 1:-1].max() < 1.1
    assert shrink(copies, 1.5)[0] is copies[0]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (Search(np.empty((0, 4)), 20, np.inf), 20 / 0.709 ** np.arange(8)),
        (Search(np.array([[0.0, 0, 200, 200]]), 20, 50), [20, 28.2, 39.8]),
    ],
)
def test_a_pyramid_ends_at_the_largest_face_and_at_the_cell(search, expected):
    copies = halvings(np.zeros((300, 400, 3), np.uint8), 12)
    sides = []
    for scale, picture in pyramid(copies, search, 12):
        assert picture.shape[:2] == pytest.approx(scale[::-1] * [300, 400])
        sides.append(12 / scale.mean())
    assert sides == pytest.approx(expected, rel=0.03)


def test_parts_of_a_picture():
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    start = np.array([[0, 0], [36, 26], [5, 8]])
    for part, (x, y) in zip(cut(picture, start, 14), start, strict=True):
        assert (part == picture[y : y + 14, x : x + 14]).all()
    assert cut(picture, np.empty((0, 2), int), 14).shape == (0, 14, 14, 3)
