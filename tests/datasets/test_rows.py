from pathlib import Path

import pytest

from wrinkle.datasets.rows import Dropped, Row, parse_age, parse_deviation, separate


@pytest.mark.parametrize(
    ("text", "age"), [("0", 0.0), ("120", 120.0), ("33.5", 33.5), (" 7 ", 7.0), ("007", 7.0)]
)
def test_ages_are_parsed(text, age):
    assert parse_age(text) == age


@pytest.mark.parametrize("text", ["-1", "200", "120.01", "abc", "", "nan", "inf", "-inf", "3 4"])
def test_impossible_ages_are_none(text):
    assert parse_age(text) is None


@pytest.mark.parametrize(("text", "deviation"), [("0", 0.0), ("4.25", 4.25), (" 300 ", 300.0)])
def test_deviations_are_parsed(text, deviation):
    assert parse_deviation(text) == deviation


@pytest.mark.parametrize("text", ["-0.1", "", "many", "nan", "inf"])
def test_impossible_deviations_are_none(text):
    assert parse_deviation(text) is None


def test_a_repeated_name_is_dropped():
    first, again, other = (
        Row(Path(f"{folder}/{name}"), name, 30.0, "made")
        for folder, name in (("p", "a.jpg"), ("q", "a.jpg"), ("p", "b.jpg"))
    )
    left_out = Dropped("c.jpg", "no such picture", "line 3")
    rows, dropped = separate([first, left_out, again, other])
    assert rows == [first, other]
    assert [row.path for row in rows] == [Path("p/a.jpg"), Path("p/b.jpg")]
    assert dropped == [left_out, Dropped("a.jpg", "same name twice", f"also {first.path}")]


def test_a_name_with_two_labels_is_dropped() -> None:
    rows, dropped = separate(
        [
            Row(Path("p/a.jpg"), "a.jpg", 30.0, "made"),
            Row(Path("p/b.jpg"), "b.jpg", None, "made", age_low=20, age_high=29),
            Row(Path("p/a.jpg"), "a.jpg", 40.0, "made"),
        ]
    )
    assert [row.name for row in rows] == ["b.jpg"]
    reason = "conflicting duplicate labels"
    assert dropped == [Dropped("a.jpg", reason, "listed with ages 30, 40")] * 2
