from pathlib import Path

import pytest
from pydantic import ValidationError

from wrinkle.errors import WrinkleError
from wrinkle.settings import Count, Part, explain, read_yaml


class Inner(Part):
    count: Count = 1


class Outer(Part):
    one: Inner | None = None
    many: tuple[Inner, ...] = ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"ones": 1}, "unknown field ones (did you mean one?); choices: one, many"),
        (
            {"one": {"coun": 1}},
            "unknown field one.coun (did you mean count?); choices: count",
        ),
        (
            {"many": [{}, {"coun": 1}]},
            "unknown field many.1.coun (did you mean count?); choices: count",
        ),
        ({"many": [{"count": 0}]}, "many.0.count is 0: input should be greater than or equal to 1"),
    ],
)
def test_an_error_names_the_field(content: dict, said: str) -> None:
    with pytest.raises(ValidationError) as error:
        Outer.model_validate(content)
    assert explain(error.value, Outer) == said


def test_files_that_are_not_mappings_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    for content, said in [
        (b"- 1\n", "give sections"),
        (b"a: [", "not YAML in line 1"),
        (b"\xff", "cannot read it: not UTF-8 text"),
    ]:
        file.write_bytes(content)
        with pytest.raises(WrinkleError, match=said):
            read_yaml(file, "give sections")
    file.write_text("a: {b: 1}\n")
    assert read_yaml(file, "") == {"a": {"b": 1}}
