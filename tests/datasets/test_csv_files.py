import pytest

from wrinkle.datasets.csv_files import inner, jpegs, read_lines, read_table
from wrinkle.errors import WrinkleError


def test_the_inner_folder_or_the_given_one(tmp_path):
    assert inner(tmp_path, "Album2") == tmp_path
    (tmp_path / "Album2").mkdir()
    assert inner(tmp_path, "Album2") == tmp_path / "Album2"


def test_pictures_are_found_in_either_case_and_sorted(tmp_path):
    for name in ("b.JPG", "a.jpg", "c.png", "d.jpg.mat"):
        (tmp_path / name).touch()
    assert [path.name for path in jpegs(tmp_path)] == ["a.jpg", "b.JPG"]
    assert jpegs(tmp_path / "none") == jpegs(tmp_path / "a.jpg") == []


def test_lines_have_numbers_and_stripped_cells(tmp_path):
    file = tmp_path / "x.csv"
    file.write_bytes('\ufeffa; b\r\n\r\n"c;\nd"; e,f \r\n'.encode())
    assert read_lines(file, ";") == [(1, ["a", "b"]), (4, ["c;\nd", "e,f"])]


def test_short_lines_are_filled_and_long_ones_cut(tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("photo,age\na.jpg\nb.jpg,5,6\n")
    assert read_table(file, ["age"]) == [
        (2, {"photo": "a.jpg", "age": ""}),
        (3, {"photo": "b.jpg", "age": "5"}),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age\n", r"lacks the column photo and race: .* at least photo, age and race, separated"),
        ("", r"lacks the column photo, age and race: .*found nothing"),
        ('photo,age,race\n"a', "is not a CSV file"),
    ],
)
def test_a_file_that_is_not_csv_is_one_line(tmp_path, text, message):
    file = tmp_path / "x.csv"
    file.write_text(text)
    with pytest.raises(WrinkleError, match=message) as caught:
        read_table(file, ["photo", "age", "race"])
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(WrinkleError, match=r"cannot read .*none\.csv: No such file"):
        read_lines(tmp_path / "none.csv")
