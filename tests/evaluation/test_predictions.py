import numpy as np
import pyarrow as pa
import pytest

from wrinkle.errors import WrinkleError
from wrinkle.evaluation.predictions import Predictions, in_common, pooled, unlabelled


def rows(names: str = "abcd") -> pa.Table:
    """Labels of faces named by single letters: a is 10 years old, b 11, …"""
    count = len(names)
    ages = [10.0 + ord(name) - ord("a") for name in names]
    columns = {"name": list(names), "age": ages, "source": ["folder"] * count}
    for column in ("age_deviation", "age_low", "age_high", "person", "gender", "group"):
        columns[column] = [None] * count
    return pa.table(columns)


def test_in_common_keeps_shared_faces_in_one_order() -> None:
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


def test_pooled_keeps_fields_that_all_parts_have() -> None:
    ages = np.arange(3.0)
    further = {"G-1": np.array([1.0, 2]), "G-2": np.array([3.0, 4])}
    first = Predictions(
        "x", rows("ab"), np.array([1.0, 2]), np.zeros((2, 2)), further, np.eye(3)[:2], ages
    )
    both = pooled([first, first.take(np.array([1]))])
    assert both.rows["name"].to_pylist() == ["a", "b", "b"]
    assert both.predicted.tolist() == [1, 2, 2]
    assert both.classifiers["G-2"].tolist() == [3, 4, 4]
    assert both.interval is not None
    assert both.interval.shape == (3, 2)
    assert both.distribution is not None
    assert both.distribution.argmax(1).tolist() == [0, 1, 1]
    assert both.ages is ages
    plain = Predictions("x", rows("c"), np.array([5.0]))
    mixed = pooled([first, plain])
    assert (mixed.interval, mixed.distribution, mixed.classifiers) == (None, None, {})


def test_unknown_labels_are_null() -> None:
    table = unlabelled(["a", "b"], [3, 4.5])
    assert table["age"].to_pylist() == [3, 4.5]
    assert table["person"].to_pylist() == [None, None]
