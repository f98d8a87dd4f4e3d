import unicodedata
from pathlib import Path

import pytest

from wrinkle.datasets import read_dataset
from wrinkle.errors import WrinkleError

NAMES = ["53_Robin_Williams_0001.jpg", "14_Léa_Seydoux_0012.jpg", "62_T.R._Knight_0003.jpg"]


def _write(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"picture")
    return folder


@pytest.mark.parametrize("folder", ["CACD2000", "."])
def test_labels_are_in_the_name(tmp_path, folder):
    _write(tmp_path / folder, *NAMES)
    (tmp_path / "celebrity2000_meta.mat").touch()
    rows, dropped = read_dataset("cacd", tmp_path)
    assert dropped == []
    assert {(row.name, row.age, row.person) for row in rows} == {
        (NAMES[0], 53.0, "Robin_Williams"),
        (NAMES[1], 14.0, "Léa_Seydoux"),
        (NAMES[2], 62.0, "T.R._Knight"),
    }
    assert {(row.gender, row.group, row.source) for row in rows} == {(None, None, "cacd")}
    assert all(row.path.is_file() for row in rows)


def test_decomposed_accents_are_composed(tmp_path):
    apart = unicodedata.normalize("NFD", NAMES[1])
    assert apart != NAMES[1]
    (row,), _ = read_dataset("cacd", _write(tmp_path, apart))
    assert (row.name, row.person) == (NAMES[1], "Léa_Seydoux")
    assert row.path.name == apart


def test_other_names_and_impossible_ages_are_dropped(tmp_path):
    foreign = ["Robin_Williams_0001.jpg", "53_0001.jpg", "53_Robin_Williams.jpg", "-5_A_B_0001.jpg"]
    rows, dropped = read_dataset("cacd", _write(tmp_path, NAMES[0], "530_A_B_0001.jpg", *foreign))
    assert [row.name for row in rows] == [NAMES[0]]
    assert {entry.name: entry.reason for entry in dropped} == {
        "530_A_B_0001.jpg": "impossible age",
        **dict.fromkeys(foreign, "not a name of CACD"),
    }


def test_a_wrong_layout_is_one_line(tmp_path):
    _write(tmp_path / "CACD2000", "holiday.jpg")
    with pytest.raises(WrinkleError, match=r"not CACD: .*53_Robin_Williams_0001\.jpg"):
        read_dataset("cacd", tmp_path)
