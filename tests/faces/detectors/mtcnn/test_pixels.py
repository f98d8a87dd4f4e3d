import cv2
import numpy as np
import pytest

from wrinkle.faces.detectors.mtcnn.pixels import (
    Search,
    cut,
    halvings,
    pyramids,
    resize_box,
    shrink,
    stack,
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


def test_pyramids_end_at_the_largest_face_and_at_the_cell():
    copies = [halvings(np.zeros((300, 400, 3), np.uint8), 12) for _ in range(2)]
    known = np.array([[0.0, 0, 200, 200]])
    searches = [Search(np.empty((0, 4)), 20, np.inf), Search(known, 20, 50)]
    levels = list(pyramids(copies, searches, 12))
    sides: dict[int, list[float]] = {0: [], 1: []}
    for level in levels:
        for index, scale, picture in level:
            assert picture.shape[:2] == pytest.approx(scale[::-1] * [300, 400])
            sides[index].append(12 / scale.mean())
    assert sides[0] == pytest.approx(20 / 0.709 ** np.arange(8), rel=0.03)
    assert sides[1] == pytest.approx([20, 28.2, 39.8], rel=0.03)


def test_parts_of_pictures():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), np.uint8)
    start = np.array([[0, 0], [36, 26], [5, 8]])
    parts = cut(pictures, np.array([0, 2, 1]), start, 14)
    for part, number, (x, y) in zip(parts, (0, 2, 1), start, strict=True):
        assert (part == pictures[number, y : y + 14, x : x + 14]).all()
    assert cut(pictures, np.empty(0, int), np.empty((0, 2), int), 14).shape == (0, 14, 14, 3)


def test_padding_completes_the_last_window():
    picture = np.full((21, 33, 3), 200, np.uint8)
    assert stack([picture]).shape == (1, 21, 33, 3)
    (padded,) = stack([picture], 4, 14)
    assert padded.shape == (34, 46, 3)
    assert (padded[:21, :33] == 200).all()
    assert (padded[21:] == 127).all()
