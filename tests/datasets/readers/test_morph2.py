from pathlib import Path

import pytest

from wrinkle.datasets import read_dataset
from wrinkle.errors import WrinkleError

HEADING = "id_num,picture_num,dob,doa,race,gender,facial_hair,age,age_diff,glasses,photo"
LINES = [
    "009055,0,1949-01-05,2003-02-14,B,M,No,54,0,No,Album2/009055_0M54.JPG",
    "320711,0,1969-01-05,2004-02-14,W,F,No,34,0,No,Album2/320711_00F34.JPG",
]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    (tmp_path / "Album2").mkdir()
    for line in LINES:
        (tmp_path / line.rpartition(",")[2]).write_bytes(b"picture")
    return tmp_path


def _write(album: Path, *lines: str, heading: str = HEADING) -> Path:
    text = "\n".join([heading, *lines, ""])
    (album / "morph_2008_nonCommercial.csv").write_text(text)
    return album


def test_labels_are_those_of_the_csv_file(album):
    rows, dropped = read_dataset("morph2", _write(album, *LINES))
    assert dropped == []
    assert [(row.name, row.person, row.age, row.gender, row.group) for row in rows] == [
        ("009055_0M54.JPG", "009055", 54.0, "male", "Black"),
        ("320711_00F34.JPG", "320711", 34.0, "female", "White"),
    ]
    assert rows[0].path == album / "Album2" / "009055_0M54.JPG"
    assert {row.source for row in rows} == {"morph2"}


@pytest.mark.parametrize(
    ("race", "group"), [("A", "Asian"), ("H", "Hispanic"), ("O", "Other"), ("", None), ("Q", None)]
)
def test_races_become_groups(album, race, group):
    (row,), _ = read_dataset("morph2", _write(album, LINES[0].replace(",B,", f",{race},")))
    assert row.group == group


def test_the_csv_file_overrides_the_name(album):
    line = LINES[0].replace(",M,", ",F,").replace(",54,", ",53,")
    (row,), _ = read_dataset("morph2", _write(album, line))
    assert (row.gender, row.age) == ("female", 53.0)


def test_without_a_csv_file_names_give_all_labels_except_race(album):
    (album / "Album2" / "Thumbs.db").touch()
    (album / "Album2" / "portrait.JPG").touch()
    (album / "Album2" / "320711_01f134.jpg").touch()
    for root in (album, album / "Album2"):
        rows, dropped = read_dataset("morph2", root)
        assert [(row.name, row.person, row.age, row.gender, row.group) for row in rows] == [
            ("009055_0M54.JPG", "009055", 54.0, "male", None),
            ("320711_00F34.JPG", "320711", 34.0, "female", None),
        ]
        assert [(entry.name, entry.reason) for entry in dropped] == [
            ("320711_01f134.jpg", "impossible age"),
            ("portrait.JPG", "not a name of MORPH"),
        ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (LINES[0].replace(",54,", ",,"), "impossible age"),
        (LINES[0].replace(",54,", ",old,"), "impossible age"),
        (LINES[0].replace(",54,", ",540,"), "impossible age"),
        (LINES[0].replace("_0M54", "_1M54"), "no such picture"),
        (LINES[0].replace("009055_0M54", "x" * 300), "no such picture"),
        (LINES[0].rpartition("Album2")[0], "no such picture"),
        ("009055,0", "no such picture"),
        (LINES[0].replace("Album2/009055_0M54.JPG", "Album2/me.JPG"), "not a name of MORPH"),
        (LINES[1], "same name twice"),
    ],
)
def test_a_bad_line_is_dropped(album, line, reason):
    (album / "Album2" / "me.JPG").touch()
    rows, dropped = read_dataset("morph2", _write(album, LINES[1], line))
    assert [row.name for row in rows] == ["320711_00F34.JPG"]
    assert [entry.reason for entry in dropped] == [reason]
    assert "line 3" in dropped[0].detail or reason == "same name twice"


def test_a_missing_column_is_one_line(album):
    _write(album, *LINES, heading=HEADING.replace("race", "origin"))
    with pytest.raises(WrinkleError, match="lacks the column race"):
        read_dataset("morph2", album)


def test_several_csv_files_are_one_line(album):
    (_write(album, *LINES) / "photos.csv").write_text("photo\n")
    with pytest.raises(WrinkleError, match=r"morph_2008.*, photos\.csv"):
        read_dataset("morph2", album)


def test_a_wrong_layout_is_one_line(tmp_path):
    (tmp_path / "Album2").mkdir()
    (tmp_path / "Album2" / "holiday.JPG").touch()
    with pytest.raises(WrinkleError, match=r"not MORPH Album 2: .*009055_0M54\.JPG"):
        read_dataset("morph2", tmp_path)
