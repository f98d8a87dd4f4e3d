"""Names of models → the functions that build them."""

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, TypeVar

from wrinkle.errors import WrinkleError
from wrinkle.models.base import AgeModel

EntryPoint = TypeVar("EntryPoint", bound=Callable[..., AgeModel])

_entry_points: dict[str, Callable[..., AgeModel]] = {}


def register(entry_point: EntryPoint) -> EntryPoint:
    """Decorator: makes `create_model` know the function by its own name."""
    _entry_points[entry_point.__name__] = entry_point
    return entry_point


def list_models() -> list[str]:
    """All names `create_model` takes, sorted."""
    return sorted(_entry_points)


def create_model(name: str, **fields: Any) -> AgeModel:
    """Builds the model `name` with random weights.

    fields: keyword arguments of its entry point (see the model's file); what is not given keeps
    its default. WrinkleError, one line, for an unknown name or field or a value of another type.
    """
    if name not in _entry_points:
        raise WrinkleError(f"no model '{name}'{_choices(name, list_models())}")
    entry_point = _entry_points[name]
    parameters = inspect.signature(entry_point, eval_str=True).parameters
    for field, value in fields.items():
        if field not in parameters:
            raise WrinkleError(f"{name} has no field '{field}'{_choices(field, list(parameters))}")
        wanted = parameters[field].annotation
        if not _fits(value, wanted):
            raise WrinkleError(f"{name}: {field} must be {wanted.__name__}, not {value!r}")
    return entry_point(**fields)


def _choices(given: str, known: list[str]) -> str:
    close = get_close_matches(given, known, n=1)
    return (f"; did you mean '{close[0]}'?" if close else ";") + f" choices: {', '.join(known)}"


def _fits(value: object, wanted: type) -> bool:
    # A bool is an int to Python, and YAML writes 1 where a float is meant.
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, (int, float) if wanted is float else wanted)
