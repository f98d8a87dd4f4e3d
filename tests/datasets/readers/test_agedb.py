import os
import sys
from pathlib import Path

import pytest

from wrinkle.datasets import read_dataset
from wrinkle.errors import WrinkleError

NAMES = ["11706_OliviaHussey_31_f.jpg", "16020_MorganFreeman _73_m.jpg", "7_MorganFreeman_35_m.jpg"]


def _write(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"picture")
    return folder


@pytest.mark.parametrize("folder", ["AgeDB", "."])
def test_labels_are_in_the_name(tmp_path, folder):
    _write(tmp_path / folder, *NAMES)
    rows, dropped = read_dataset("agedb", tmp_path)
    assert dropped == []
    assert [(row.name, row.person, row.age, row.gender) for row in rows] == [
        (NAMES[0], "OliviaHussey", 31.0, "female"),
        (NAMES[1], "MorganFreeman", 73.0, "male"),
        (NAMES[2], "MorganFreeman", 35.0, "male"),
    ]
    assert {row.source for row in rows} == {"agedb"}


@pytest.mark.skipif(sys.platform != "linux", reason="names here are always Unicode")
def test_names_that_are_not_unicode_match_the_published_lists(tmp_path):
    (tmp_path / os.fsdecode(b"15872_St\x82phaneAudran_44_f.jpg")).write_bytes(b"picture")
    (tmp_path / os.fsdecode(b"h\x82.jpg")).write_bytes(b"picture")
    (row,), dropped = read_dataset("agedb", tmp_path)
    assert (row.name, row.person) == ("15872_StВphaneAudran_44_f.jpg", "StВphaneAudran")
    assert row.path.read_bytes() == b"picture"
    assert [entry.name for entry in dropped] == ["hВ.jpg"]


def test_other_names_and_impossible_ages_are_dropped(tmp_path):
    foreign = [
        "OliviaHussey_31_f.jpg",
        "1_A_B_31_f.jpg",
        "1_A_31_x.jpg",
        "1_A_f.jpg",
        "1_ _31_f.jpg",
    ]
    rows, dropped = read_dataset("agedb", _write(tmp_path, NAMES[0], "1_A_310_f.jpg", *foreign))
    assert [row.name for row in rows] == [NAMES[0]]
    assert {entry.name: entry.reason for entry in dropped} == {
        "1_A_310_f.jpg": "impossible age",
        **dict.fromkeys(foreign, "not a name of AgeDB"),
    }


def test_a_wrong_layout_is_one_line(tmp_path):
    _write(tmp_path / "AgeDB", "holiday.jpg")
    with pytest.raises(WrinkleError, match=r"not AgeDB: .*11706_OliviaHussey_31_f\.jpg"):
        read_dataset("agedb", tmp_path)
