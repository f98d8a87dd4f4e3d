from pathlib import Path

import pytest

from wrinkle.datasets.readers.fairface import FairFace
from wrinkle.errors import WrinkleError

HEAD = "file,age,gender,race,service_test\n"


def _write(root: Path, part: str, lines: list[str], below: str = "") -> None:
    (root / below / part).mkdir(parents=True, exist_ok=True)
    rows = ""
    for number, line in enumerate(lines, 1):
        (root / below / part / f"{number}.jpg").write_bytes(b"picture")
        rows += f"{part}/{number}.jpg,{line},True\n"
    (root / f"fairface_label_{part}.csv").write_text(HEAD + rows)


@pytest.mark.parametrize("below", ["", "fairface-img-margin025-trainval"])
def test_labels_by_hand(tmp_path: Path, below: str) -> None:
    _write(tmp_path, "train", ["0-2,Male,East Asian", "03-Sep,Female,White", "Oct-19,,"], below)
    _write(tmp_path, "val", ["more than 70,female,Latino_Hispanic", "59-50,Male,Black"], below)
    rows, dropped = FairFace().read(tmp_path)
    assert [(r.name, r.age, r.age_low, r.age_high, r.gender, r.group) for r in rows] == [
        ("train/1.jpg", None, 0, 2, "male", "East Asian"),
        ("train/2.jpg", None, 3, 9, "female", "White"),
        ("train/3.jpg", None, 10, 19, None, None),
        ("val/1.jpg", None, 70, 100, "female", "Latino_Hispanic"),
    ]
    assert [tuple(d) for d in dropped] == [
        ("val/2.jpg", "impossible age group", "fairface_label_val.csv, line 3: '59-50'")
    ]


def test_one_list_is_enough_and_missing_pictures_are_dropped(tmp_path: Path) -> None:
    _write(tmp_path, "val", ["20-29,Male,White", "30-39,Male,White"])
    (tmp_path / "val" / "2.jpg").unlink()
    rows, dropped = FairFace().read(tmp_path)
    assert [row.name for row in rows] == ["val/1.jpg"]
    assert [(d.name, d.reason) for d in dropped] == [("val/2.jpg", "no such picture")]


def test_errors_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match="is not FairFace"):
        FairFace().read(tmp_path)
    file = tmp_path / "fairface_label_val.csv"
    file.write_text(HEAD + "val/1.jpg,20-29,Male,White,True\n")
    with pytest.raises(WrinkleError, match="none of the pictures in fairface_label_val"):
        FairFace().read(tmp_path)
    file.write_text("file,age\nval/1.jpg,20-29\n")
    with pytest.raises(WrinkleError, match="gender"):
        FairFace().read(tmp_path)
    file.write_bytes(b"\xff\xfe\x00\x00" * 40)
    with pytest.raises(WrinkleError):
        FairFace().read(tmp_path)


def test_wrong_ages_are_not_called_missing_pictures(tmp_path: Path) -> None:
    _write(tmp_path, "val", ["20,Male,White"])
    rows, dropped = FairFace().read(tmp_path)
    assert (rows, [d.reason for d in dropped]) == ([], ["impossible age group"])
