import pytest

from wrinkle.datasets.rows import parse_age


@pytest.mark.parametrize(
    ("text", "age"), [("0", 0.0), ("120", 120.0), ("33.5", 33.5), (" 7 ", 7.0), ("007", 7.0)]
)
def test_ages(text, age):
    assert parse_age(text) == age


@pytest.mark.parametrize("text", ["-1", "200", "120.01", "abc", "", "nan", "inf", "-inf", "3 4"])
def test_impossible_ages(text):
    assert parse_age(text) is None
