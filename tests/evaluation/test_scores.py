import numpy as np
import pyarrow as pa
import pytest

from wrinkle.evaluation.predictions import Predictions
from wrinkle.evaluation.scores import (
    clusters,
    comparison_table,
    known_people,
    score,
    score_all,
    score_table,
)

AGES = [5.0, 15, 16, 25, 25, 38]
PREDICTED = np.array([7.0, 15, 10, 26, 22, 30])  # errors 2, 0, −6, 1, −3, −8
GENDERS = ["female", "female", "male", "male", None, "female"]


def predictions(**columns: list) -> Predictions:
    count = len(AGES)
    labels = {
        "name": [str(n) for n in range(count)],
        "age": AGES,
        "age_deviation": pa.nulls(count, pa.float32()),
        "age_low": pa.nulls(count, pa.int16()),
        "age_high": pa.nulls(count, pa.int16()),
        "person": pa.nulls(count, pa.string()),
        "gender": pa.nulls(count, pa.string()),
        "group": pa.nulls(count, pa.string()),
        "source": ["folder"] * count,
        **columns,
    }
    return Predictions("mine", pa.table(labels), PREDICTED)


def test_all_and_every_part_by_hand() -> None:
    found = {(row.column, row.value): row for row in score(predictions(gender=GENDERS))}
    assert list(found) == [
        ("", "all"),
        *(("age", decade) for decade in ("0–9", "10–19", "20–29", "30–39")),
        *(("gender", gender) for gender in ("female", "male", "unknown")),
    ]
    everyone = found["", "all"]
    assert (everyone.faces, everyone.people) == (6, None)
    assert everyone.mae.value == pytest.approx(20 / 6)
    assert everyone.bias.value == pytest.approx(-14 / 6)
    assert everyone.cs5.value == pytest.approx(4 / 6)
    assert everyone.coverage is None
    women = found["gender", "female"]
    assert (women.faces, women.mae.value, women.bias.value) == (3, pytest.approx(10 / 3), -2)
    teens = found["age", "10–19"]
    assert (teens.faces, teens.mae.value) == (2, 3)
    assert score_all(predictions(gender=GENDERS)) == everyone


def test_coverage_by_hand() -> None:
    from dataclasses import replace

    ends = np.stack([PREDICTED - 3, PREDICTED + 3], 1)  # holds errors of at most 3: 4 of 6
    row = score_all(replace(predictions(), interval=ends))
    assert row.coverage is not None
    assert row.coverage.value == pytest.approx(4 / 6)
    text = score_table(replace(predictions(), interval=ends))
    assert "90 % intervals contain 66.7 % of the ages" in text
    assert "mean width 6.0 years" in text


def test_bootstrap_draws_people_per_dataset() -> None:
    system = predictions(person=["1", "1", "1", "2", "2", None])
    assert known_people(system) == ["folder 1"] * 3 + ["folder 2"] * 2 + [None]
    row = score_all(system)
    assert row.people == 3
    assert score_all(predictions(person=["1", "1", None, None, None, None])).people == 5
    # People are drawn: three draws of person 1 are one of the samples, with errors 2, 0, 6.
    assert row.mae.low == pytest.approx(2)  # three draws of 2: 1 and 3
    assert row.mae.high == pytest.approx(8)
    assert "6 faces of 3 people" in score_table(system)


def test_table_shows_every_part_and_the_epsilon_error() -> None:
    lines = score_table(predictions(gender=GENDERS, age_deviation=[2.0] * 6)).splitlines()
    assert lines[0].startswith("6 faces: MAE 3.33 years (95 %: ")
    assert "CS(5) 66.7 %" in lines[0]
    assert "bias -2.33 years" in lines[0]
    error = PREDICTED - AGES
    expected = (1 - np.exp(-(error**2) / 8)).mean()
    assert lines[1] == f"6 of them with an age deviation: ε-error {expected:.3f}"
    assert [line.strip() for line in lines if line.strip() in ("age", "gender")] == [
        "age",
        "gender",
    ]
    women = next(line for line in lines if line.startswith("  female"))
    assert women.split()[1:3] == ["3", "3.33"]
    assert women.split()[-2:] == ["-2.00", "66.7"]


def test_parts_of_fewer_than_five_faces_have_no_intervals() -> None:
    """One face in its thirties would have an interval of zero width."""
    from dataclasses import replace

    system = replace(predictions(), interval=np.stack([PREDICTED - 3, PREDICTED + 3], 1))
    rows = score(system)
    assert [row.faces for row in rows] == [6, 1, 2, 2, 1]
    for row in rows:
        assert row.coverage is not None
        each = (row.mae, row.bias, row.cs5, row.coverage)
        assert {np.isnan(e.low) and np.isnan(e.high) for e in each} == {row.faces < 5}
        assert not np.isnan([e.value for e in each]).any()
        assert row.faces < 5 or all(e.low < e.high for e in each)
    table = score_table(system)
    assert "nan" not in table
    assert next(line for line in table.splitlines() if "30–39" in line).split()[3] == "–"
    few = system.take(np.arange(4))
    assert "nan" not in score_table(few) + comparison_table([few, few])


def test_comparison_table_has_differences_to_the_first_system() -> None:
    from dataclasses import replace

    mine = predictions()
    other = replace(mine, system="theirs", predicted=np.array(AGES) + 1)
    first, *_, ours, theirs = comparison_table([mine, other]).splitlines()
    assert first == "6 faces that all systems have; differences to mine"
    assert ours.split()[:2] == ["mine", "3.33"]
    cells = theirs.split()
    assert cells[:2] == ["theirs", "1.00"]
    assert "-2.33" in cells  # 1 − 20/6
    assert cells[-1] == "75.0"  # nearer in 4 of 6, one tie: |1| against 2, 0, 6, 1, 3, 8


def test_a_picture_that_several_folds_test_is_drawn_once() -> None:
    """Six rows of one picture are no sample of six, and one picture has no interval."""
    once = score_all(predictions(name=["a"] * 6))
    assert once.mae.value == pytest.approx(20 / 6)
    assert np.isnan([once.mae.low, once.mae.high]).all()
    assert once.cs5.high - once.cs5.low > 0.9
    assert clusters(predictions(person=["1", None] * 3)) == [
        *("folder 1", "picture 1", "folder 1", "picture 3", "folder 1", "picture 5")
    ]
