from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrinkle.datasets import MAX_AGE, read_dataset
from wrinkle.errors import WrinkleError


@pytest.fixture
def album(tmp_path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("a.jpg", "b.png", "sub/ö, c.jpg"):
        (tmp_path / name).write_bytes(b"picture")
    return tmp_path


def _write(album: Path, text: str, encoding: str = "utf-8") -> Path:
    (album / "labels.csv").write_bytes(text.encode(encoding))
    return album


def test_columns_may_be_in_any_order_with_others_between(album):
    _write(
        album,
        "gender,age,note,path,group,person,age_deviation\r\n"
        'Female,33.5,hm,"sub/ö, c.jpg",Nordic,p1,2.5\r\n'
        ",7,,a.jpg,,,\r\n",
        "utf-8-sig",
    )
    (first, second), dropped = read_dataset("folder", album)
    assert dropped == []
    assert first.name == "sub/ö, c.jpg"
    assert first.path == album / "sub" / "ö, c.jpg"
    assert (first.age, first.age_deviation) == (33.5, 2.5)
    assert (first.person, first.gender, first.group) == ("p1", "female", "Nordic")
    assert first.source == "folder"
    assert (second.age, second.age_deviation) == (7.0, None)
    assert (second.person, second.gender, second.group) == (None, None, None)


def test_the_csv_file_and_absolute_paths_are_accepted(album, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "d.jpg"
    other.write_bytes(b"picture")
    _write(album, f"path,age\n{album / 'a.jpg'},5\n./b.png,6\n{other},7\n")
    rows, _ = read_dataset("folder", album / "labels.csv")
    assert [row.name for row in rows] == ["a.jpg", "b.png", other.as_posix()]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.jpg,-1", "impossible age"),
        ("a.jpg,200", "impossible age"),
        ("a.jpg,abc", "impossible age"),
        ("a.jpg,", "impossible age"),
        ("a.jpg", "impossible age"),
        ("gone.jpg,5", "no such picture"),
        ("sub,5", "no such picture"),
        (",5", "no such picture"),
        (f"{'x' * 300}.jpg,5", "no such picture"),
        ("a.jpg,1_0", "impossible age"),
        ("a.jpg,23 years", "impossible age"),
        ("a.jpg,1990-05-01", "impossible age"),
    ],
)
def test_a_bad_line_is_dropped_and_named(album, line, reason):
    _write(album, f"path,age,age_deviation,gender\nb.png,6,1,male\n{line}\n")
    rows, dropped = read_dataset("folder", album)
    assert [row.name for row in rows] == ["b.png"]
    assert [entry.reason for entry in dropped] == [reason]
    assert "line 3" in dropped[0].detail


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("-2", "impossible age deviation"),
        ("many", "impossible age deviation"),
        ("1,robot", "unknown gender"),
        ("1,0", "unknown gender"),  # 0 is male in UTKFace, female in CelebA
        ("1,1", "unknown gender"),
    ],
)
def test_an_unknown_optional_label_costs_that_label(album, cells, reason):
    _write(album, f"path,age,age_deviation,gender\nb.png,6,1,male\na.jpg,5,{cells}\n")
    rows, dropped = read_dataset("folder", album)
    assert [row.name for row in rows] == ["b.png", "a.jpg"]
    assert dropped == []
    assert rows[0].unread == ()
    ((name, found, detail),) = rows[1].unread
    assert (name, found) == ("a.jpg", reason)
    assert "line 3" in detail
    assert rows[1].gender is None


def test_genders_and_unknown_values(album):
    _write(album, "path,age,Gender,person\na.jpg,5,M,NA\nb.png,6,Female,None\n")
    rows, _ = read_dataset("folder", album)
    assert [(row.gender, row.person, row.unread) for row in rows] == [
        ("male", None, ()),
        ("female", None, ()),
    ]
    _write(album, "path,age,gender\na.jpg,5,M\nb.png,6,H\n")  # mujer, hombre
    rows, _ = read_dataset("folder", album)
    assert [row.gender for row in rows] == [None, None]
    assert [len(row.unread) for row in rows] == [1, 1]


def test_names_in_both_of_unicodes_forms_and_windows_paths(album):
    composed, decomposed = "\u00e9", "e\u0301"
    for name in (f"{composed}1.jpg", f"{decomposed}2.jpg", f"sub/{decomposed}3.jpg"):
        (album / name).write_bytes(name.encode())
    text = f"path,age,person\n{decomposed}1.jpg,1,{composed}\n{composed}2.jpg,2,{decomposed}\n"
    _write(album, text + f"sub\\{composed}3.jpg,3,x\n")
    rows, dropped = read_dataset("folder", album)
    assert dropped == []
    assert [row.name for row in rows] == [
        f"{composed}1.jpg",
        f"{composed}2.jpg",
        f"sub/{composed}3.jpg",
    ]
    assert rows[0].person == rows[1].person


def test_a_name_is_the_same_however_the_path_is_written(album):
    _write(album, "path,age\nsub/../a.jpg,5\na.jpg,5\nsub//../b.png,6\n")
    rows, dropped = read_dataset("folder", album)
    assert [row.name for row in rows] == ["a.jpg", "b.png"]
    assert [entry.reason for entry in dropped] == ["same name twice"]
    (album / "list").mkdir()
    (album / "list" / "l.csv").write_text("path,age\n../a.jpg,5\n")
    (row,), _ = read_dataset("folder", album / "list" / "l.csv")
    assert row.name == "../a.jpg" or row.name == (album / "a.jpg").as_posix()


def test_a_picture_listed_twice_is_kept_once_or_not_if_its_labels_conflict(album):
    _write(album, "path,age\na.jpg,5\n./a.jpg,5\nb.png,6\nb.png,60\n")
    rows, dropped = read_dataset("folder", album)
    assert [(row.name, row.age) for row in rows] == [("a.jpg", 5.0)]
    assert sorted((entry.name, entry.reason) for entry in dropped) == [
        ("a.jpg", "same name twice"),
        ("b.png", "conflicting duplicate labels"),
        ("b.png", "conflicting duplicate labels"),
    ]


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [
        ("path,years\na.jpg,5\n", "utf-8", r"lacks the column age.*found path, years"),
        ("file;age\na.jpg;5\n", "utf-8", r"lacks the column path.*found file, age"),
        ("path,age,age\na.jpg,5,6\n", "utf-8", "line 1: the column age is named twice"),
        ("path,age,person\na.jpg,23,5,anna\n", "utf-8", "line 2: 4 cells, more than 3 columns"),
        ("path,age,\na.jpg,23,5\n", "utf-8", "line 2: '5' is in column 3, which has no name"),
        ("path;age\na.jpg;23,5\nb.png;31.5\n", "utf-8", r"line 3: age is 23,5 in line 2"),
        ("", "utf-8", "lacks the columns path and age.*found nothing"),
        ("path,age\nö.jpg,5\n", "latin-1", "not UTF-8"),
        ('path,age\n"a.jpg,5\n', "utf-8", "not a CSV file"),
        ('path,age\n"a"b.jpg,5\n', "utf-8", "not a CSV file"),
    ],
)
def test_a_bad_file_is_one_line(album, text, encoding, message):
    _write(album, text, encoding)
    with pytest.raises(WrinkleError, match=message) as caught:
        read_dataset("folder", album)
    assert "\n" not in str(caught.value)


def test_no_or_two_csv_files_are_one_line(album):
    with pytest.raises(WrinkleError, match="found none"):
        read_dataset("folder", album)
    _write(album, "path,age\na.jpg,5\n")
    (album / "old.csv").write_text("path,age\n")
    with pytest.raises(WrinkleError, match=r"found labels\.csv, old\.csv"):
        read_dataset("folder", album)


@given(content=st.binary(max_size=80))
def test_any_bytes_give_rows_or_one_line(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("album")
    (folder / "a.jpg").write_bytes(b"picture")
    (folder / "labels.csv").write_bytes(b"path,age\na.jpg,5\n" + content)
    try:
        rows, _ = read_dataset("folder", folder)
    except WrinkleError as error:
        rows, message = [], str(error)
    else:
        message = ""
    assert "\n" not in message
    assert all(0 <= row.age <= MAX_AGE for row in rows)


def test_ranges_beside_and_in_place_of_ages(album: Path) -> None:
    lines = 'a.jpg,,20,29\nb.png,34,30,39\n"sub/ö, c.jpg",29.9,20,29\n'
    rows, dropped = read_dataset("folder", _write(album, "path,age,age_low,age_high\n" + lines))
    assert [(row.age, row.age_low, row.age_high, row.label) for row in rows] == [
        (None, 20, 29, "20–29"),
        (34, 30, 39, "34 (30–39)"),
        (29.9, 20, 29, "29.9 (20–29)"),
    ]
    assert dropped == []
    rows, _ = read_dataset("folder", _write(album, "path,age_low,age_high\na.jpg,0,2\n"))
    assert [(row.age, row.age_low, row.age_high) for row in rows] == [(None, 0, 2)]


@pytest.mark.parametrize(
    ("cells", "reason", "detail"),
    [
        (",29,20", "impossible range", "'29' to '20' is no range of whole years in 0..120"),
        (",20.5,29", "impossible range", "'20.5' to '29'"),
        (",20,", "impossible range", "'20' to ''"),
        (",20,130", "impossible range", "'20' to '130'"),
        (",-1,3", "impossible range", "'-1' to '3'"),
        ("30,20,29", "impossible range", "age 30 is not in the range 20 to 29"),
        ("x,20,29", "impossible age", "'x' is not a number"),
        (",,", "impossible age", "'' is not a number"),
    ],
)
def test_a_wrong_range_is_dropped_with_its_line(
    album: Path, cells: str, reason: str, detail: str
) -> None:
    _write(album, f"path,age,age_low,age_high\nb.png,5,,\na.jpg,{cells}\n")
    rows, (one,) = read_dataset("folder", album)
    assert [row.name for row in rows] == ["b.png"]
    assert (one.name, one.reason) == ("a.jpg", reason)
    assert one.detail.startswith("line 3: ")
    assert detail in one.detail


def test_a_range_needs_both_ends(album: Path) -> None:
    with pytest.raises(WrinkleError, match=r"lacks the column age_high: a range needs both"):
        read_dataset("folder", _write(album, "path,age,age_low\na.jpg,3,0\n"))
    with pytest.raises(WrinkleError, match="age"):
        read_dataset("folder", _write(album, "path,age_low\na.jpg,3\n"))


def test_different_ranges_of_one_picture_conflict(album: Path) -> None:
    _write(album, "path,age_low,age_high\na.jpg,20,29\na.jpg,30,39\nb.png,0,2\nb.png,0,2\n")
    rows, dropped = read_dataset("folder", album)
    assert [row.name for row in rows] == ["b.png"]
    assert [d.reason for d in dropped] == ["conflicting duplicate labels"] * 2 + ["same name twice"]
    assert "20–29, 30–39" in dropped[0].detail
