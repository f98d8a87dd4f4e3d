from pathlib import Path

import numpy as np
import pytest

from wrinkle.datasets.readers.utkface import GENDERS, GROUPS, UTKFace
from wrinkle.errors import WrinkleError

MALFORMED = {
    "24_0_1_20170116220224657 .jpg.chip.jpg": (24, "male", "Black"),
    "39_1_20170116174525125.jpg.chip.jpg": (39, None, None),
    "55_0_0_20170116232725357jpg.chip.jpg": (55, "male", "White"),
    "61_1_20170109142408075.jpg.chip.jpg": (61, None, None),
    "61_1_20170109150557335.jpg.chip.jpg": (61, None, None),
}


def _write(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"picture")


def test_labels_are_in_the_name(tmp_path):
    name = "26_1_3_20170116174525125.jpg.chip.jpg"
    _write(tmp_path, name)
    (row,), dropped = UTKFace().read(tmp_path)
    assert (row.name, row.age, row.gender, row.group) == (name, 26.0, "female", "Indian")
    assert row.source == "utkface"
    assert row.person is None
    assert dropped == []


def test_malformed_names_still_give_an_age(tmp_path):
    _write(tmp_path, *MALFORMED)
    rows, dropped = UTKFace().read(tmp_path)
    assert {row.name: (row.age, row.gender, row.group) for row in rows} == MALFORMED
    assert dropped == []


def test_gender_and_race_out_of_range_are_unknown(tmp_path):
    _write(tmp_path, "26_3_7_20170116174525125.jpg.chip.jpg")
    (row,), _ = UTKFace().read(tmp_path)
    assert (row.gender, row.group) == (None, None)


def test_names_without_a_possible_age_are_dropped(tmp_path):
    names = ["5_0_0_1.jpg", "abc_0_0_1.jpg", "200_0_0_1.jpg", "-1_0_0_1.jpg", "7.jpg"]
    _write(tmp_path, *names)
    rows, dropped = UTKFace().read(tmp_path)
    assert [row.name for row in rows] == ["5_0_0_1.jpg"]
    assert {entry.name for entry in dropped} == set(names[1:])
    assert {entry.reason for entry in dropped} == {"no age in the name"}


def test_a_name_in_two_parts_is_kept_once(tmp_path):
    _write(tmp_path / "part1", "5_0_0_1.jpg", "6_0_0_1.jpg")
    _write(tmp_path / "part2", "6_0_0_1.jpg")
    _write(tmp_path / "part3", "7_0_0_1.jpg")
    _write(tmp_path / "other", "8_0_0_1.jpg")
    rows, dropped = UTKFace().read(tmp_path)
    assert [row.name for row in rows] == ["5_0_0_1.jpg", "6_0_0_1.jpg", "7_0_0_1.jpg"]
    assert [(entry.name, entry.reason) for entry in dropped] == [("6_0_0_1.jpg", "same name twice")]


def test_a_wrong_layout_is_one_line(tmp_path):
    _write(tmp_path, "holiday.png")
    with pytest.raises(WrinkleError, match=r"age_gender_race_timestamp\.jpg\.chip\.jpg"):
        UTKFace().read(tmp_path)


@pytest.mark.data
def test_the_real_dataset_has_its_published_size(data_root):
    rows, dropped = UTKFace().read(data_root / "utkface")
    assert len(rows) == 23_707
    assert dropped == []
    assert {row.name: (row.age, row.gender, row.group) for row in rows}.items() >= MALFORMED.items()
    ages = np.array([row.age for row in rows])
    assert (ages.min(), ages.max()) == (1, 116)
    assert ages.mean() == pytest.approx(33.3, abs=0.05)
    assert {row.gender for row in rows} == {*GENDERS.values(), None}
    assert {row.group for row in rows} == {*GROUPS.values(), None}
    assert sum(row.group is None for row in rows) == 3
