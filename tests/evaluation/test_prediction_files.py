from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.evaluation.test_predictions import rows
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.prediction_files import read_predictions, write_predictions
from wrinkle.evaluation.predictions import Predictions

RANDOM = np.random.default_rng(0)
PREDICTED = 50 * RANDOM.random(4)
FULL = Predictions(
    "x",
    rows(),
    PREDICTED,
    np.stack([PREDICTED - np.pi, PREDICTED + np.e], 1),
    {"G-1": RANDOM.random(4), "age": RANDOM.random(4)},
    RANDOM.dirichlet(np.ones(5), 4).astype(np.float32),
    np.array([16.0, 17, 18, 20, 25.5]),
)


def test_parquet_keeps_everything(tmp_path: Path) -> None:
    path = tmp_path / "sys.parquet"
    write_predictions(path, FULL)
    assert sorted(tmp_path.iterdir()) == [path]
    for again in (read_predictions(path, rows()), read_predictions(path)):
        assert again.system == "sys"
        assert again.rows["name"].to_pylist() == list("abcd")
        assert again.actual.tolist() == [10, 11, 12, 13]
        for field in ("predicted", "interval", "distribution", "ages"):
            np.testing.assert_array_equal(getattr(again, field), getattr(FULL, field))
        assert list(again.classifiers) == ["G-1", "age"]
        for name, ages in FULL.classifiers.items():
            np.testing.assert_array_equal(again.classifiers[name], ages)


def test_other_programs_read_the_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "sys.parquet"
    write_predictions(path, FULL)
    frame = pd.read_parquet(path)
    assert [*frame.columns] == [
        *("name", "age", "age_low", "age_high", "predicted", "low", "high"),
        *("classifier.G-1", "classifier.age", "distribution"),
    ]
    np.testing.assert_array_equal(np.stack(frame["distribution"]), FULL.distribution)
    write_predictions(path, Predictions("x", rows(), PREDICTED))
    frame = pd.read_parquet(path)
    assert frame["low"].isna().all()
    assert "distribution" not in frame
    plain = read_predictions(path)
    assert (plain.interval, plain.distribution, plain.ages) == (None, None, None)


def test_csv_is_rounded_except_for_the_labels(tmp_path: Path) -> None:
    path = tmp_path / "sys.csv"
    labels = rows().set_column(1, "age", pa.array([10, 11.25, 23.4, 1 / 3], pa.float32()))
    predicted = np.array([10.5, 11.125, 12, 13.00049])
    interval = np.stack([predicted - np.pi, predicted + np.e], 1)
    exact = replace(FULL, rows=labels, predicted=predicted, interval=interval)
    write_predictions(path, replace(exact, interval=np.array([[8.0, 12]] * 4)))
    assert path.read_text().splitlines()[:2] == [
        "name,age,predicted,low,high,classifier.G-1,classifier.age",
        f"a,10,10.500,8.000,12.000,{FULL.classifiers['G-1'][0]:.3f},"
        f"{FULL.classifiers['age'][0]:.3f}",
    ]
    write_predictions(path, replace(exact, classifiers={}))
    again = read_predictions(path)
    assert again.rows["age"].equals(labels["age"])
    assert again.predicted.tolist() == [10.5, 11.125, 12, 13]
    np.testing.assert_allclose(again.interval, interval, atol=5e-4)


def test_parquet_files_of_other_programs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "theirs.parquet"
    pq.write_table(pa.table({"predicted": [20, 30], "name": ["c", "a"], "more": [None, 3]}), path)
    found = read_predictions(path, rows())
    assert found.rows["name"].to_pylist() == ["a", "c"]
    assert found.predicted.tolist() == [30, 20]
    with pytest.raises(WrinkleError, match=r"theirs\.parquet lacks the column age"):
        read_predictions(path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"name": ["a"], "age": [3]}, "lacks the column predicted"),
        ({"name": [], "predicted": []}, "holds no predictions"),
        ({"name": ["a", "z"], "predicted": [1, 2]}, "row 1: the store has no picture 'z'"),
        ({"name": ["a", "a"], "predicted": [1, 2]}, "row 1: 'a' occurs twice"),
        ({"name": ["a", "b"], "predicted": [1, None]}, "row 1: predicted is nan"),
        ({"name": ["a"], "predicted": ["old"]}, "damaged or not"),
        (
            {"name": ["a", "b"], "predicted": [1, 2], "low": [0, 1.0], "high": [2, None]},
            "row 1: hi",
        ),
    ],
)
def test_a_bad_parquet_file_is_one_line(
    tmp_path: Path, columns: dict[str, list], message: str
) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(WrinkleError, match=message) as caught:
        read_predictions(path, rows())
    assert str(path) in str(caught.value)


def test_damaged_parquet_files_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with pytest.raises(WrinkleError, match="no such file"):
        read_predictions(path)
    write_predictions(path, FULL)
    content = path.read_bytes()
    for part in (b"", b"text", content[:50], content[:-20]):
        path.write_bytes(part)
        with pytest.raises(WrinkleError, match=r"x\.parquet is damaged"):
            read_predictions(path)


@pytest.mark.parametrize("name", ["x.txt", "x", "no/folder/x"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WrinkleError, match=r"\.csv or \.parquet"):
        write_predictions(tmp_path / name, FULL)


def test_labels_come_from_the_store_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("\ufeffpredicted, name ,age\n20,c,99\n30,a,99\n", "utf-8")
    found = read_predictions(tmp_path / "x.csv", rows())
    assert found.rows["name"].to_pylist() == ["a", "c"]
    assert found.actual.tolist() == [10, 12]
    assert found.predicted.tolist() == [30, 20]
    assert found.interval is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,age\na,3\n", "lacks the column predicted"),
        ("name,predicted\n", "holds no predictions"),
        ("name,predicted\na,1\nz,2\n", "line 3: the store has no picture 'z'"),
        ("name,predicted\na,1\na,2\n", "line 3: 'a' occurs twice"),
        ("name,predicted\na,nan\n", "line 2: predicted is 'nan', not a number of years"),
        ("name,predicted\na,\n", "line 2: predicted is '', not a number"),
        ("name,predicted,low,high\na,1,0,old\n", "line 2: high is 'old'"),
        ("name,predicted,low,high\na,1,0,2\nb,1,,\n", "line 3: low is '', not a number"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(WrinkleError, match=message) as caught:
        read_predictions(path, rows())
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,29,9,20,40", "line 3: 5 cells, more than 4 columns"),
        ("a,29,9,20", "line 3: predicted is 29, outside of its interval 9–20"),
        ("a,-5,-6,1", "line 3: predicted is -5 years, not within 0–120"),
        ("a,1e9,0,2e9", "line 3: predicted is 1e.09 years"),
        ("a,30,20,1e9", "line 3: the interval 20–1e.09 is wider than a life"),
        ("a,1_0,9,20", "line 3: predicted is '1_0', not a number"),
        ("gone.jpg,30,20,40", "line 3: the store has no picture 'gone.jpg'"),
    ],
)
def test_impossible_predictions_are_refused(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"name,predicted,low,high\nb,20,10,30\n{line}\n")
    with pytest.raises(WrinkleError, match=message):
        read_predictions(path, rows())


def test_an_interval_has_two_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("name,predicted,low\nb,20,10\n")
    with pytest.raises(WrinkleError, match="the column low alone"):
        read_predictions(path, rows())


def test_impossible_predictions_in_parquet_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"name": ["a", "b"], "predicted": [20.0, 150.0]}), path)
    with pytest.raises(WrinkleError, match="row 1: predicted is 150"):
        read_predictions(path, rows())


def test_pictures_that_were_dropped_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("Name;Predicted\nb;20,5\ngone.jpg;30,5\na;31\n")
    found = read_predictions(path, rows(), ["gone.jpg", "other.jpg"])
    assert found.rows["name"].to_pylist() == ["a", "b"]
    assert found.predicted.tolist() == [31, 20.5]
    assert found.left_out == 1
    with pytest.raises(WrinkleError, match="dropped all 3 pictures"):
        read_predictions(path, rows().slice(3), ["gone.jpg", "a", "b"])


def test_other_spellings_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    labels = rows().set_column(0, "name", pa.array(["p/\u00e9.jpg", "b", "c", "d"]))
    path.write_text("name,predicted\np\\e\u0301.jpg,20\n./b,30\n")
    assert read_predictions(path, labels).rows["name"].to_pylist() == ["p/\u00e9.jpg", "b"]
    path.write_text("name,predicted\nb,20\n./b,30\n")
    with pytest.raises(WrinkleError, match=r"line 3: './b' occurs twice"):
        read_predictions(path, labels)


def test_files_that_are_not_text_or_missing_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match="cannot read"):
        read_predictions(tmp_path / "none.csv", rows())
    for content, message in ((b"\xff\xfe\x00", "damaged UTF-16"), (b"a\xff", "not UTF-8")):
        (tmp_path / "x.csv").write_bytes(content)
        with pytest.raises(WrinkleError, match=message):
            read_predictions(tmp_path / "x.csv", rows())
