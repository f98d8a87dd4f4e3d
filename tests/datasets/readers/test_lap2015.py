from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrinkle.datasets import MAX_AGE, read_dataset
from wrinkle.errors import WrinkleError

LAP2015 = {
    "Train/image_1.jpg": None,
    "Train/image_2.jpg": None,
    "Validation/image_1.jpg": None,
    "Test/image_3.jpg": None,
    "Train.csv": "image_1.jpg;23;4.5\nimage_2.jpg;61.25;7\n",
    "Validation.csv": "image_1.jpg;5;1\n",
    "Test.csv": "image_3.jpg;40;3\n",
}
LAP2016 = {
    "train_1/000000.jpg": None,
    "train_2/000001.jpg": None,
    "valid/004113.jpg": None,
    "test_1/005613.jpg": None,
    "train_gt.csv": "image,mean,stdv\n000000.jpg,4.7,0.0\n000001.jpg,70,6.25\n",
    "valid_gt.csv": "image,mean,stdv\n004113.jpg,35.2,4.5\n",
    "test_gt.csv": "image,mean,stdv\n005613.jpg,30.0,3.5\n",
}
HEADING = "file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age\n"
APPA_REAL = {
    "train/000000.jpg": None,
    "train/000000.jpg_face.jpg": None,
    "train/000000.jpg.mat": None,
    "valid/004113.jpg": None,
    "test/005613.jpg": None,
    "gt_avg_train.csv": HEADING + "000000.jpg,36,4.75,1.5,4\n",
    "gt_avg_valid.csv": HEADING + "004113.jpg,38,35.25,4.5,33\n",
    "gt_avg_test.csv": HEADING + "005613.jpg,34,30.0,3.5,36\n",
    "gt_train.csv": "file_name,age,worker_age\n000000.jpg,5,41\n000000.jpg,4,22\n",
}


def _write(root: Path, files: dict[str, str | None]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("picture" if text is None else text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            LAP2015,
            [
                ("train/image_1.jpg", 23.0, 4.5, "Train/image_1.jpg"),
                ("train/image_2.jpg", 61.25, 7.0, "Train/image_2.jpg"),
                ("validation/image_1.jpg", 5.0, 1.0, "Validation/image_1.jpg"),
                ("test/image_3.jpg", 40.0, 3.0, "Test/image_3.jpg"),
            ],
        ),
        (
            LAP2016,
            [
                ("train/000000.jpg", 4.7, 0.0, "train_1/000000.jpg"),
                ("train/000001.jpg", 70.0, 6.25, "train_2/000001.jpg"),
                ("validation/004113.jpg", 35.2, 4.5, "valid/004113.jpg"),
                ("test/005613.jpg", 30.0, 3.5, "test_1/005613.jpg"),
            ],
        ),
        (
            APPA_REAL,
            [
                ("train/000000.jpg", 4.75, 1.5, "train/000000.jpg"),
                ("validation/004113.jpg", 35.25, 4.5, "valid/004113.jpg"),
                ("test/005613.jpg", 30.0, 3.5, "test/005613.jpg"),
            ],
        ),
    ],
)
def test_three_releases_are_read(tmp_path, files, expected):
    rows, dropped = read_dataset("lap2015", _write(tmp_path, files))
    assert dropped == []
    found = [
        (r.name, r.age, r.age_deviation, r.path.relative_to(tmp_path).as_posix()) for r in rows
    ]
    assert found == expected
    assert {(row.source, row.person, row.gender) for row in rows} == {("lap2015", None, None)}


def test_a_part_without_labels_is_one_entry(tmp_path):
    files = {name: text for name, text in LAP2015.items() if name != "Test.csv"}
    rows, dropped = read_dataset("lap2015", _write(tmp_path, files))
    assert len(rows) == 3
    assert [(entry.name, entry.reason) for entry in dropped] == [("test", "part without labels")]


def test_lines_of_a_missing_folder_are_dropped(tmp_path):
    files = {name: text for name, text in LAP2015.items() if not name.startswith("Test/")}
    rows, dropped = read_dataset("lap2015", _write(tmp_path, files))
    assert len(rows) == 3
    assert [(e.name, e.reason) for e in dropped] == [("test/image_3.jpg", "no such picture")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("000000.jpg,36,-4,1.5,4", "impossible age"),
        ("000000.jpg,36,121,1.5,4", "impossible age"),
        ("000000.jpg,36,,1.5,4", "impossible age"),
        ("000000.jpg", "impossible age"),
        ("000000.jpg,36,4,-1,4", "impossible age deviation"),
        ("000000.jpg,36,4,?,4", "impossible age deviation"),
        ("000000.jpg,36,4", "impossible age deviation"),
        ("000009.jpg,36,4,1,4", "no such picture"),
        (f"{'x' * 300}.jpg,36,4,1,4", "no such picture"),
        (",36,4,1,4", "no such picture"),
        ("000001.jpg,36,8,1,9", "same name twice"),
    ],
)
def test_a_bad_line_is_dropped_and_named(tmp_path, line, reason):
    text = f"{HEADING}000001.jpg,36,8,1,9\n{line}\n"
    _write(tmp_path, {**APPA_REAL, "train/000001.jpg": None, "gt_avg_train.csv": text})
    rows, dropped = read_dataset("lap2015", tmp_path)
    assert [row.name for row in rows if row.name.startswith("train")] == ["train/000001.jpg"]
    assert [entry.reason for entry in dropped] == [reason]
    assert "gt_avg_train.csv, line 3" in dropped[0].detail or reason == "same name twice"


def test_two_releases_in_one_folder_are_one_line(tmp_path):
    _write(tmp_path, {**APPA_REAL, **LAP2016})
    with pytest.raises(WrinkleError, match=r"gt_avg_train\.csv and train_gt\.csv"):
        read_dataset("lap2015", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found nothing"),
        ("image,mean\na.jpg,5\n", "found image, mean"),
        ("a.jpg;old;2\n", "found a.jpg, old, 2"),
        ("a.jpg;5\n", "found a.jpg, 5"),
    ],
)
def test_unknown_columns_are_one_line(tmp_path, text, message):
    _write(tmp_path, {**LAP2015, "Train.csv": text})
    with pytest.raises(WrinkleError, match=rf"expected the columns file_name.*{message}") as caught:
        read_dataset("lap2015", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_wrong_layout_is_one_line(tmp_path):
    _write(tmp_path, {"train/000000.jpg": None, "labels.csv": "image,mean,stdv\n"})
    with pytest.raises(WrinkleError, match=r"not ChaLearn LAP: .*train_gt\.csv"):
        read_dataset("lap2015", tmp_path)


@given(content=st.binary(max_size=80), heading=st.sampled_from([b"", b"image,mean,stdv\n"]))
def test_any_bytes_give_rows_or_one_line(tmp_path_factory, heading, content):
    root = _write(tmp_path_factory.mktemp("lap"), {"train/a.jpg": None})
    (root / "train_gt.csv").write_bytes(heading + content)
    try:
        rows, _ = read_dataset("lap2015", root)
    except WrinkleError as error:
        rows, message = [], str(error)
    else:
        message = ""
    assert "\n" not in message
    assert all(0 <= row.age <= MAX_AGE for row in rows)
