"""Model files: safetensors with a JSON header. Nothing is unpickled.

A model file holds one network's tensors. Its metadata key "wrinkle" describes the network, the
input that it expects and its provenance, with a SHA-256 over header and tensors. Format 1, whose
networks had a linear classifier `fc` instead of a head, can be read too.
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.faces.input import InputSpec
from wrinkle.files import read_tensors, replace_file, write_tensors
from wrinkle.models.base import AgeModel
from wrinkle.models.registry import create_model
from wrinkle.registry import find_plugins

PLUGINS_FOLDER = "plugins"
"""Folder in a run's folder that holds copies of its plug-ins."""
EXPORTED = (".onnx", ".xml")
"""Endings of exported files, ONNX's and OpenVINO's; see `wrinkle.inference.engines`."""


def save_model(
    path: str | Path, model: nn.Module, card: dict[str, Any], half: bool = False
) -> None:
    """Write a model file.

    Args:
        path: the file; an older one is replaced only after the new one is complete.
        model: the network.
        card: the header: "model" {name, fields}, "input" {size, zoom, mean, std, template},
            "ages", "provenance" and "mirror_average" (true if missing); format version and checksum
            are added.
        half: store weights in float16, except norms and biases, whose ranges are wide.

    Raises:
        WrinkleError: the disk is full, or the file cannot be written.
    """
    tensors = model.state_dict()
    if half:
        tensors = {
            name: tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
            for name, tensor in tensors.items()
        }
    write_tensors(path, tensors, {"kind": "model", **card})


def load_model(
    path: str | Path, device: str | torch.device = "cpu"
) -> tuple[AgeModel, dict[str, Any]]:
    """Load a model file.

    Args:
        path: the file.
        device: where the network will be.

    Returns:
        The network in float32 and evaluation mode, and the header.

    Raises:
        WrinkleError: the file is missing, truncated, damaged or no model file, its network is
            unknown, or its tensors do not fit the network.
    """
    tensors, header = read_model(path)
    try:
        InputSpec.from_header(header["input"])
        find_plugins(header.get("plugins", []), _plugin_folders(path))
        model = create_model(header["model"]["name"], **header["model"]["fields"])
    except WrinkleError as error:
        raise WrinkleError(f"{path}: {error}") from None
    _check_fit(path, model, tensors)
    model.load_state_dict(tensors)
    model.mirror_average = header.get("mirror_average", True)
    return model.to(device).eval(), header


def read_model(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the header of a model file, converted to the current format.

    Args:
        path: the file.

    Returns:
        Name → tensor, and the header.

    Raises:
        WrinkleError: the file is missing, truncated, damaged, no model file, or an exported one.
    """
    refuse_exported(path)
    tensors, header = read_tensors(path, "model")
    if header["format"] == 1:
        tensors = {current_name(name): tensor for name, tensor in tensors.items()}
        fields = dict(header["model"]["fields"])
        if "distribution" in fields:
            fields["head"] = fields.pop("distribution")
        header["model"] = {**header["model"], "fields": fields}
    return tensors, header


def refuse_exported(path: str | Path) -> None:
    """Check that a file is not an exported one, by its name.

    Raises:
        WrinkleError: it is.
    """
    if Path(path).suffix.lower() in EXPORTED:
        raise WrinkleError(
            f"{path} is an exported model, which can only predict: name the model file "
            "(.safetensors) it is from"
        )


def current_name(name: str) -> str:
    """Convert a tensor's name in a file of format 1, or a final layer's in a published file.

    Args:
        name: name in the file.

    Returns:
        The name in the current state dict.

    Example:
        >>> current_name("fc.weight"), current_name("sub_classifiers.c2.bias")
        ('head.fc.weight', 'sub_heads.GL-2.fc.bias')
    """
    name = re.sub(r"^(attention\.)?fc\.", r"\1head.fc.", name)
    branch = {"g": "G", "l": "L", "c": "GL"}
    return re.sub(
        r"^sub_classifiers\.([glc])(\d)\.", lambda m: f"sub_heads.{branch[m[1]]}-{m[2]}.fc.", name
    )


def _check_fit(path: str | Path, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    in_file = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in [*own, *in_file]:
        if own.get(name) != in_file.get(name):
            raise WrinkleError(
                f"{path}: tensor {name} is {in_file.get(name, 'missing')} in the file, "
                f"{own.get(name, 'missing')} in the model: not a file of this version's model"
            )


def amend(path: str | Path, out: str | Path, **fields: Any) -> None:
    """Copy a model file, and its plug-ins, with some fields of its header replaced.

    Args:
        path: the model file.
        out: the new file; may be `path`.
        fields: new values of the header's fields.

    Raises:
        WrinkleError: `path` cannot be read, or `out` cannot be written.
    """
    tensors, header = read_model(path)
    if set(_plugin_folders(out)).isdisjoint(_plugin_folders(path)):
        plugins = find_plugins(header.get("plugins", []), _plugin_folders(path))
        for name, content in plugins.items():
            replace_file(Path(out).resolve().parent / name, content)
    write_tensors(out, tensors, {**header, **fields})


def _plugin_folders(path: str | Path) -> list[Path]:
    """Where the plug-ins of a model file are: beside it, or in its run's folder."""
    folder = Path(path).resolve().parent
    return [folder, folder.parent / PLUGINS_FOLDER]
