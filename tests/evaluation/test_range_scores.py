from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from wrinkle.datasets.store import SCHEMA
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.assurance import challenge
from wrinkle.evaluation.prediction_files import read_predictions, write_predictions
from wrinkle.evaluation.predictions import Predictions, in_common
from wrinkle.evaluation.range_scores import (
    in_range,
    range_comparison,
    range_table,
    score_ranges,
    with_neighbours,
)
from wrinkle.evaluation.scores import score, score_table

LABELS = [(None, 0, 2), (None, 3, 9), (None, 10, 19), (None, 20, 29), (None, 20, 29)]
PREDICTED = np.array([2.4, 19.0, 19.5, 29.49, 45.0])


def made(labels: list[tuple], predicted: np.ndarray, **columns: list) -> Predictions:
    rows = [
        dict.fromkeys(SCHEMA.names)
        | {"name": str(k), "age": age, "age_low": low, "age_high": high, "source": "made"}
        for k, (age, low, high) in enumerate(labels)
    ]
    for column, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[column] = value
    names = [name for name in SCHEMA.names if name not in ("image", "key_points", "landmarks")]
    table = pa.table({n: pa.array([r[n] for r in rows], SCHEMA.field(n).type) for n in names})
    return Predictions("mine", table, predicted)


RANGED = made(LABELS, PREDICTED, gender=["female", "female", "male", "male", "male"])
MIXED = made([*LABELS, (30.0, None, None), (41.0, 40, 49)], np.append(PREDICTED, [33.0, 50.0]))


def test_scores_by_hand() -> None:
    """Nearest years 2, 19, 20, 29, 45: the first and fourth are in, the third is one group off."""
    found = {(row.column, row.value): row for row in score_ranges(RANGED)}
    assert list(found) == [
        ("", "all"),
        *(("age", span) for span in ("0–2", "3–9", "10–19", "20–29")),
        *(("gender", gender) for gender in ("male", "female")),
    ]
    everyone = found["", "all"]
    assert (everyone.faces, everyone.people, everyone.coverage) == (5, None, None)
    assert everyone.inside.value == pytest.approx(2 / 5)
    assert everyone.near.value == pytest.approx(4 / 5)  # 19 is in 10–19, next to 3–9
    assert everyone.distance.value == pytest.approx((0.4 + 10 + 0.5 + 0.49 + 16) / 5)
    assert everyone.inside.low < 2 / 5 < everyone.inside.high
    assert everyone.children is not None
    assert everyone.children.value == 1 / 2  # 19.0 of 2.4 and 19.0
    assert found["age", "20–29"].children is None
    assert score(RANGED) == []
    assert score_ranges(RANGED.exact()) == []


def test_an_interval_overlaps_a_range() -> None:
    ends = np.array([[0, 5], [10, 30], [5, 25], [29, 30], [30, 60]], float)
    (row, *_) = score_ranges(replace(RANGED, interval=ends))
    assert row.coverage is not None
    assert row.coverage.value == pytest.approx(3 / 5)  # neither the second nor the last


def test_half_a_year_is_rounded_up() -> None:
    ages = np.array([19.49, 19.5, 29.49, 29.5])
    assert in_range(ages, np.array([[20, 29]] * 4)).tolist() == [False, True, True, False]


def test_neighbours_are_of_the_same_dataset_and_do_not_overlap() -> None:
    labels = [(None, 0, 2), (None, 4, 6), (None, 8, 12), (None, 8, 23), (None, 25, 32)]
    labels += [(None, 20, 29)]
    sources = ["adience"] * 5 + ["fairface"]
    found = with_neighbours(made(labels, np.zeros(6), source=sources))
    assert found.tolist() == [[0, 6], [0, 23], [4, 32], [4, 32], [8, 32], [20, 29]]


def test_known_ages_and_ranges_are_scored_apart() -> None:
    """A label with both counts as a known age."""
    everyone = score(MIXED)[0]
    assert (everyone.faces, everyone.mae.value) == (2, 6)  # errors 3 and 9
    assert score_ranges(MIXED)[0].faces == 5
    assert score_table(MIXED).startswith("2 faces: MAE 6.00")
    text = range_table(MIXED)
    assert "5 faces with a range of ages: 40.0 % in the range" in text
    assert "50.0 % (–) of the children" in text


def test_many_different_ranges_are_scored_by_decade() -> None:
    labels = [(None, k, k + 1) for k in range(25)]
    values = [row.value for row in score_ranges(made(labels, np.arange(25.0))) if row.column]
    assert values == ["0–9", "10–19", "20–29"]


def test_systems_are_compared_on_ranges() -> None:
    other = replace(RANGED, system="other", predicted=PREDICTED + 1)
    shared = in_common([RANGED, other])
    assert len(shared[0].predicted) == 5
    assert "other" in range_comparison(shared)


def test_age_assurance_takes_ranges_that_are_within() -> None:
    labels = [(None, 14, 17), (None, 10, 19), (None, 20, 29), (18.5, None, None)]
    (row,) = challenge(made(labels, np.array([20.0, 20, 20, 10])), [18])
    assert (row.false_positive_rate.value, row.true_positive_rate.value) == (1, 0.5)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files_keep_ranges(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine.{suffix}"
    write_predictions(path, MIXED)
    for again in (read_predictions(path), read_predictions(path, MIXED.rows)):
        for column in ("age", "age_low", "age_high"):
            assert again.rows[column].to_pylist() == MIXED.rows[column].to_pylist()
        assert again.predicted.tolist() == pytest.approx(MIXED.predicted.tolist())
    if suffix == "csv":
        lines = path.read_text().splitlines()
        assert lines[0] == "name,age,age_low,age_high,predicted"
        assert lines[1] == "0,,0,2,2.400"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name,age_low,age_high,predicted\na,20,,25\n", "line 2: 'a' needs an age, or age_low"),
        ("name,age_low,age_high,predicted\na,29,20,25\n", "needs an age, or age_low"),
        ("name,age_low,age_high,predicted\na,20.5,29,25\n", "in whole years"),
        ("name,age,age_low,age_high,predicted\na,,,,25\n", "needs an age"),
        ("name,age,predicted\na,,25\n", "age is ''"),
        ("name,predicted\na,25\n", "lacks the column age"),
    ],
)
def test_labels_in_a_file_are_checked(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(WrinkleError, match=reason):
        read_predictions(path)
