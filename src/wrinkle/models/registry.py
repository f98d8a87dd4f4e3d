"""The registry of networks: name → the function that builds it."""

from typing import Any

from wrinkle.models.base import AgeModel
from wrinkle.models.heads.head import HEADS, split_choice
from wrinkle.registry import Registry

MODELS: Registry[AgeModel] = Registry("model", "wrinkle.models", "wrinkle.models.backbones")

register = MODELS.register


def list_models() -> list[str]:
    """Return all names that `create_model` accepts, sorted."""
    return MODELS.names()


def create_model(name: str, **fields: Any) -> AgeModel:
    """Build a network with random weights.

    Args:
        name: one of `list_models()`, or "timm:NAME" for a network of timm.
        fields: parameters of its function (see the model's file); others keep their defaults.

    Returns:
        The network, in training mode.

    Raises:
        WrinkleError: an unknown name or field, or a value of another type.
    """
    return MODELS.create(*named(name, fields))


def check_model(name: str, fields: dict[str, Any]) -> None:
    """Check a network's name and fields without building it.

    Args:
        name: as for `create_model`.
        fields: as for `create_model`.

    Raises:
        WrinkleError: an unknown name or field, or a value of another type.
    """
    MODELS.check(*named(name, fields))


def named(name: str, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Split a name such as "timm:resnet18".

    Args:
        name: a registered name, or "FAMILY:ARCHITECTURE".
        fields: the network's fields.

    Returns:
        The registered name, and the fields with `architecture` added.
    """
    family, colon, architecture = name.partition(":")
    if not colon or "architecture" not in MODELS.schema(family).model_fields:
        return name, fields
    return family, {"architecture": architecture, **fields}


def head_kind(name: str, fields: dict[str, Any]) -> str | None:
    """`trained_as` of the head that the model `name` would have; None: it does not take a head."""
    choice = MODELS.check(*named(name, fields)).get("head")
    if choice is None:
        return None
    kind: str = getattr(HEADS.get(split_choice(choice)[0]), "trained_as", "distribution")
    return kind
