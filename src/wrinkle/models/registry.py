"""Names of models → the functions that build them."""

from typing import Any

from wrinkle.models.base import AgeModel
from wrinkle.registry import Registry

MODELS: Registry[AgeModel] = Registry("model", "wrinkle.models", "wrinkle.models.backbones")

register = MODELS.register


def list_models() -> list[str]:
    """All names that `create_model` takes, sorted."""
    return MODELS.names()


def create_model(name: str, **fields: Any) -> AgeModel:
    """Build the model `name` with random weights.

    Args:
        name: one of `list_models()`, or "timm:NAME" for a network of timm.
        fields: parameters of its function (see the model's file); the rest keep their defaults.

    Raises:
        WrinkleError: an unknown name or field, or a value of another type; one line.
    """
    return MODELS.create(*named(name, fields))


def check_model(name: str, fields: dict[str, Any]) -> None:
    """Check the fields of the model `name` without building it.

    Raises:
        WrinkleError: as `create_model`.
    """
    MODELS.check(*named(name, fields))


def named(name: str, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """ "timm:resnet18" and fields → "timm" and the fields with `architecture`."""
    family, colon, architecture = name.partition(":")
    return (family, {"architecture": architecture, **fields}) if colon else (name, fields)
