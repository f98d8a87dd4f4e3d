"""Files of settings: YAML, checked by a schema whose sections are closed."""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wrinkle.errors import WrinkleError

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class Part(BaseModel):
    """A closed section: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NamedPart(BaseModel):
    """A section whose further fields are those of the entry called `name` in a registry."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    name: str

    @property
    def fields(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


def read_yaml(path: Path, form: str) -> dict[str, Any]:
    """Read a YAML file that contains a mapping.

    Args:
        form: what the file should contain, for the error message.

    Raises:
        WrinkleError: the file cannot be read, or is not YAML or not a mapping; one line.
    """
    import yaml  # the estimator needs schemas, but no files of settings

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise WrinkleError(f"{path}: cannot read it: {reason}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "unreadable"
        raise WrinkleError(f"{path}: not YAML{where}: {problem}") from None
    if not isinstance(content, dict):
        raise WrinkleError(f"{path}: {form}")
    return content


def explain(error: ValidationError, schema: type[BaseModel]) -> str:
    """Describe the first validation error in one line.

    Args:
        schema: what was validated.
    """
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if len(place) > 1 and re.fullmatch(r"str|dict\[.*\]", place[-1]):
        place.pop()  # a member of a union of types, which is not a field
    field = ".".join(place) or "the file"
    match first["type"]:
        case "extra_forbidden":
            return f"unknown field {field}{_suggest(place, schema)}"
        case "missing":
            return f"field {field} is missing"
        case "literal_error":
            return f"{field} is {first['input']!r}; choices: {first['ctx']['expected']}"
        case "value_error":
            return f"{field}: {first['ctx']['error']}"
        case _:
            text = re.sub(r" or instance of \w+", "", first["msg"]).replace("tuple", "list")
            return f"{field} is {first['input']!r}: {text[0].lower()}{text[1:]}"


def _suggest(place: list[str], schema: type[BaseModel]) -> str:
    for name in place[:-1]:
        if not name.isdigit():  # a position in a list, whose items `_section` has found already
            schema = _section(schema.model_fields[name].annotation)
    choices = list(schema.model_fields)
    close = difflib.get_close_matches(place[-1], choices, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"{hint}; choices: {', '.join(choices)}"


def _section(annotation: Any) -> type[BaseModel]:
    """The section in `Section`, `Section | None` or `tuple[Section, ...]`."""
    within = [annotation, *get_args(annotation)]
    return next(kind for kind in within if isinstance(kind, type) and issubclass(kind, BaseModel))
