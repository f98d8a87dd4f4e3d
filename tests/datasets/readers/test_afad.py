from pathlib import Path

import pytest

from wrinkle.datasets import read_dataset
from wrinkle.errors import WrinkleError


def _write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"picture")
    return root


def test_labels_are_in_the_path(tmp_path):
    root = _write(
        tmp_path / "AFAD-Lite", "18/111/1234-0.jpg", "18/112/1234-1.jpg", "39/112/7-0.jpg"
    )
    rows, dropped = read_dataset("afad", root)
    assert dropped == []
    assert [(row.name, row.age, row.gender, row.person) for row in rows] == [
        ("18/111/1234-0.jpg", 18.0, "male", None),
        ("18/112/1234-1.jpg", 18.0, "female", None),
        ("39/112/7-0.jpg", 39.0, "female", None),
    ]
    assert {row.source for row in rows} == {"afad"}
    assert rows[2].path == root / "39" / "112" / "7-0.jpg"


def test_other_folders_are_dropped(tmp_path):
    foreign = {
        "old/111/1-0.jpg": "impossible age",
        "180/111/1-0.jpg": "impossible age",
        "18/113/1-0.jpg": "unknown gender",
    }
    _write(tmp_path, "18/111/1-0.jpg", "18/111/Thumbs.db", *foreign)
    rows, dropped = read_dataset("afad", tmp_path)
    assert [row.name for row in rows] == ["18/111/1-0.jpg"]
    assert {entry.name: entry.reason for entry in dropped} == foreign


@pytest.mark.parametrize("name", ["AFAD-Full/18/111/1-0.jpg", "111/1-0.jpg", "18/111/1-0.png"])
def test_a_wrong_layout_is_one_line(tmp_path, name):
    _write(tmp_path, name)
    with pytest.raises(WrinkleError, match=r"AFAD.*18/111/1234-0\.jpg.*AFAD-Lite"):
        read_dataset("afad", tmp_path)
