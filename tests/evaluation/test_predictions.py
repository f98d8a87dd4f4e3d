from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from wrinkle.errors import WrinkleError
from wrinkle.evaluation.predictions import Predictions, in_common, read_predictions, to_csv


def rows(names: str = "abcd") -> pa.Table:
    """Labels of faces named by single letters: a is 10 years old, b 11, …"""
    count = len(names)
    ages = [10.0 + ord(name) - ord("a") for name in names]
    columns = {"name": list(names), "age": ages, "source": ["folder"] * count}
    for column in ("age_deviation", "person", "gender", "group"):
        columns[column] = [None] * count
    return pa.table(columns)


def test_there_and_back(tmp_path: Path) -> None:
    interval = np.array([[8.0, 12.0], [9, 13.25], [10, 14], [11, 15]])
    whole = Predictions("x", rows(), np.array([10.5, 11.125, 12, 13]), interval)
    (tmp_path / "sys.csv").write_bytes(to_csv(whole, {"G-1": np.arange(4.0)}))
    head = (tmp_path / "sys.csv").read_text().splitlines()[:2]
    assert head == ["name,age,predicted,low,high,G-1", "a,10,10.500,8.000,12.000,0.000"]
    again = read_predictions(tmp_path / "sys.csv", rows())
    assert again.system == "sys"
    np.testing.assert_array_equal(again.predicted, whole.predicted)
    np.testing.assert_array_equal(again.interval, interval)
    assert again.actual.tolist() == [10, 11, 12, 13]


def test_labels_are_the_stores_and_any_order_will_do(tmp_path: Path) -> None:
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
        ("name,predicted\na,1\na,2\n", "line 3: 'a' is named twice"),
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


def test_no_text_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match="cannot read"):
        read_predictions(tmp_path / "none.csv", rows())
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WrinkleError, match="not UTF-8"):
        read_predictions(tmp_path / "x.csv", rows())


def test_in_common_is_the_same_faces_in_the_same_order() -> None:
    first = Predictions("1", rows("dab"), np.array([4.0, 1, 2]))
    second = Predictions("2", rows("abcd"), np.array([1.0, 2, 3, 4]), np.zeros((4, 2)))
    a, b = in_common([first, second])
    assert a.rows["name"].to_pylist() == b.rows["name"].to_pylist() == ["d", "a", "b"]
    assert a.predicted.tolist() == b.predicted.tolist() == [4, 1, 2]
    assert b.interval is not None
    assert len(b.interval) == 3
    with pytest.raises(WrinkleError, match="1 and 3 have no picture in common"):
        in_common([first, Predictions("3", rows("c"), np.array([3.0]))])


def test_a_picture_that_several_folds_test_is_paired_fold_by_fold() -> None:
    """And one name with two ages is two pictures."""
    first = Predictions("1", rows("abab"), np.array([1.0, 2, 3, 4]))
    second = Predictions("2", rows("bab"), np.array([20.0, 10, 40]))
    a, b = in_common([first, second])
    assert a.predicted.tolist() == [1, 2, 4]
    assert b.predicted.tolist() == [10, 20, 40]
    older = second.rows.set_column(1, "age", pa.array([99.0] * 3))
    with pytest.raises(WrinkleError, match="no picture in common"):
        in_common([first, Predictions("other", older, second.predicted)])
