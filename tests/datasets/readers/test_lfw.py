from pathlib import Path

import pytest

from wrinkle.datasets.readers.lfw import LFW
from wrinkle.errors import WrinkleError


def _write(root: Path, table: str, people: dict[str, int], below: str = "") -> Path:
    for person, count in people.items():
        folder = root / below / person
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            (folder / f"{person}_{number:04}.jpg").write_bytes(b"picture")
    (root / "people.csv").write_text(table)
    return root


@pytest.mark.parametrize("below", ["", "lfw"])
def test_ages_from_birth_dates_by_hand(tmp_path: Path, below: str) -> None:
    table = (
        "person,born,gender\nA_A,1968,male\nB_B,1970-01-01,F\nC_C,1980-07,\nD_D,2003,f\nE_E,?,f\n"
    )
    people = {"A_A": 2, "B_B": 1, "C_C": 1, "D_D": 1, "E_E": 1, "X_X": 1}
    (tmp_path / "pairs.csv").write_text("name,imagenum1\nA_A,1\n")  # LFW's own lists
    rows, dropped = LFW().read(_write(tmp_path, table, people, below))
    assert [(r.name, r.age, r.age_deviation, r.gender) for r in rows] == [
        ("A_A/A_A_0001.jpg", 34.5, 0.6, "male"),
        ("A_A/A_A_0002.jpg", 34.5, 0.6, "male"),
        ("B_B/B_B_0001.jpg", 33.0, 0.6, "female"),
        ("C_C/C_C_0001.jpg", pytest.approx(22.46), 0.6, None),
    ]
    assert {r.person for r in rows} == {"A_A", "B_B", "C_C"}
    assert [(d.name, d.reason) for d in dropped] == [
        ("D_D", "impossible birth date or age"),
        ("E_E", "impossible birth date or age"),
    ]


def test_ages_of_the_table_are_taken(tmp_path: Path) -> None:
    table = "person,age,age_deviation,gender,source\nA_A,34.5,0.7,male,x\nB_B,12,,female,x\n"
    rows, dropped = LFW().read(_write(tmp_path, table, {"A_A": 1, "B_B": 1}))
    assert [(r.age, r.age_deviation) for r in rows] == [(34.5, 0.7), (12, 0.6)]
    assert dropped == []


def test_errors_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match="one CSV file with the columns person and born"):
        LFW().read(tmp_path)
    _write(tmp_path, "person,born\nA_A,1968\n", {})
    with pytest.raises(WrinkleError, match="no picture of anybody in people"):
        LFW().read(tmp_path)
    (tmp_path / "second.csv").write_text("person,age\nA_A,3\n")
    with pytest.raises(WrinkleError, match=r"found people\.csv and second\.csv"):
        LFW().read(tmp_path)


def test_dates_that_do_not_exist_are_dropped_with_their_line(tmp_path: Path) -> None:
    table = "person,born,age\nA_A,1970-02-31,\nB_B,1950,-5\nC_C,1970-02-28,NA\n"
    root = _write(tmp_path, table, {"A_A": 1, "B_B": 1, "C_C": 1})
    (root / "C_C" / "C_C_0001.jpg").rename(root / "C_C" / "C_C_0001.JPG")
    rows, dropped = LFW().read(root)
    assert [row.name for row in rows] == ["C_C/C_C_0001.JPG"]
    assert [(d.name, d.detail) for d in dropped] == [
        ("A_A", "people.csv, line 2: '1970-02-31'"),
        ("B_B", "people.csv, line 3: '-5'"),
    ]


def test_wrong_dates_are_not_called_missing_pictures(tmp_path: Path) -> None:
    rows, dropped = LFW().read(_write(tmp_path, "person,born\nA_A,12/03/1968\n", {"A_A": 1}))
    assert (rows, [d.reason for d in dropped]) == ([], ["impossible birth date or age"])
