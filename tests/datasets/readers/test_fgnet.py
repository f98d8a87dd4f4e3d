from pathlib import Path

import numpy as np
import pytest

from wrinkle.datasets.dataset import five_points
from wrinkle.datasets.readers.fgnet import FGNet
from wrinkle.errors import WrinkleError

POINTS = np.arange(136, dtype=np.float32).reshape(68, 2) + 0.25


def _tree(root: Path, images: list[str], points: dict[str, str]) -> Path:
    for folder in ("images", "points"):
        (root / folder).mkdir()
    for name in images:
        (root / "images" / name).write_bytes(b"picture")
    for name, text in points.items():
        (root / "points" / name).write_text(text, newline="\r\n")
    return root


def _pts(points: np.ndarray) -> str:
    body = "\n".join(f"{x} {y}" for x, y in points)
    return f"version: 1\nn_points: {len(points)}\n{{\n{body}\n}}\n"


def test_names_and_points_match_in_any_case(tmp_path):
    root = _tree(tmp_path, ["001A43a.JPG", "082A00.JPG"], {"001a43A.pts": _pts(POINTS)})
    rows, dropped = FGNet().read(root)
    assert dropped == []
    assert [(row.name, row.person, row.age) for row in rows] == [
        ("images/001A43a.JPG", "001", 43.0),
        ("images/082A00.JPG", "082", 0.0),
    ]
    assert rows[0].landmarks.dtype == np.float32
    np.testing.assert_array_equal(rows[0].landmarks, POINTS)
    assert rows[1].landmarks is None


@pytest.mark.parametrize(
    "text", ["", "no braces", _pts(POINTS[:67]), _pts(POINTS).replace("0.25", "x", 1), "\x00{\n}"]
)
def test_damaged_points_drop_only_the_points(tmp_path, text):
    rows, dropped = FGNet().read(_tree(tmp_path, ["001A02.JPG"], {"001a02.pts": text}))
    assert len(rows) == 1
    assert rows[0].landmarks is None
    assert dropped == []


def test_other_files_are_dropped(tmp_path):
    rows, dropped = FGNet().read(_tree(tmp_path, ["001A02.JPG", "Thumbs.db", "1A2.JPG"], {}))
    assert len(rows) == 1
    assert [entry.name for entry in dropped] == ["images/1A2.JPG", "images/Thumbs.db"]


def test_a_wrong_layout_is_one_line(tmp_path):
    with pytest.raises(WrinkleError, match="expected folders 'images' and 'points'"):
        FGNet().read(tmp_path)
    with pytest.raises(WrinkleError, match="001A02"):
        FGNet().read(_tree(tmp_path, [], {}))


def test_five_points_are_means_of_landmarks():
    five = five_points(np.stack([POINTS, POINTS + 1]), FGNet.key_points)
    assert five.shape == (2, 5, 2)
    np.testing.assert_array_equal(five[0, :, 0], [62.25, 72.25, 134.25, 96.25, 108.25])


@pytest.mark.data
def test_the_real_dataset_has_its_published_size(data_root):
    rows, dropped = FGNet().read(data_root / "fgnet")
    assert len(rows) == 1002
    assert dropped == []
    assert len({row.name for row in rows}) == 1002
    assert len({row.person for row in rows}) == 82
    ages = np.array([row.age for row in rows])
    assert (ages.min(), ages.max()) == (0, 69)
    assert ages.mean() == pytest.approx(15.84, abs=0.005)


@pytest.mark.data
def test_real_landmarks_are_in_the_expected_order(data_root):
    """Left eye left of right eye, nose tip below the eyes' line, the mouth below the tip."""
    landmarks = np.stack([row.landmarks for row in FGNet().read(data_root / "fgnet")[0]])
    left, right, nose, mouth_left, mouth_right = np.moveaxis(
        five_points(landmarks, FGNet.key_points), 1, 0
    )
    across = right - left
    down = np.stack([-across[:, 1], across[:, 0]], axis=1)  # y grows downwards
    assert (across[:, 0] > 0).all()
    assert ((mouth_right - mouth_left)[:, 0] > 0).all()
    assert (((nose - left) * down).sum(1) > 0).all()
    # One broad smile has its corners above the tip of a lowered nose.
    assert ((((mouth_left + mouth_right) / 2 - nose) * down).sum(1) > 0).sum() == 1001
    # A pupil is inside the box of its eye's corners and lids.
    for first, pupil in ((27, 31), (32, 36)):
        eye = landmarks[:, first : first + 4]
        inside = (eye.min(1) <= landmarks[:, pupil]) & (landmarks[:, pupil] <= eye.max(1))
        assert inside.all()
