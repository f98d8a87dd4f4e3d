"""Model files: safetensors with a JSON header. Nothing here unpickles.

A model file holds one model's tensors and, under the metadata key "wrinkle", what it is, what it
expects and where it comes from, with a SHA-256 over header and tensors. Format 1, whose networks
had a linear classifier `fc` in place of a head, is read as well.
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.faces.input import InputSpec
from wrinkle.files import read_tensors, write_tensors
from wrinkle.models.base import AgeModel
from wrinkle.models.registry import create_model
from wrinkle.registry import find_plugins

PLUGINS_FOLDER = "plugins"
"""Where a run keeps copies of its plug-ins, beside the folders of its folds."""


def save_model(
    path: str | Path, model: nn.Module, card: dict[str, Any], half: bool = False
) -> None:
    """Write a model file.

    Args:
        card: the header: "model" {name, fields}, "input" {size, zoom, mean, std, template},
            "ages" and "provenance"; format version and checksum are added here.
        half: store weights (not norms and biases, whose ranges are wide) in float16.

    Raises WrinkleError when the disk is full or the place cannot be written; an older file of that
    name is then left as it was.
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
    """Model in evaluation mode on `device` (float32), and its header.

    Raises WrinkleError, one line, for a missing, foreign, cut or damaged file, an unknown model,
    or tensors that do not fit it.
    """
    tensors, header = read_model(path)
    try:
        InputSpec.from_header(header["input"])
        folder = Path(path).resolve().parent
        find_plugins(header.get("plugins", []), [folder, folder.parent / PLUGINS_FOLDER])
        model = create_model(header["model"]["name"], **header["model"]["fields"])
    except WrinkleError as error:
        raise WrinkleError(f"{path}: {error}") from None
    _check_fit(path, model, tensors)
    model.load_state_dict(tensors)
    return model.to(device).eval(), header


def read_model(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a model file, those of an older format as today's.

    Raises:
        WrinkleError: a missing, foreign, cut or damaged file; one line.
    """
    tensors, header = read_tensors(path, "model")
    if header["format"] == 1:
        tensors = {current_name(name): tensor for name, tensor in tensors.items()}
        fields = dict(header["model"]["fields"])
        if "distribution" in fields:
            fields["head"] = fields.pop("distribution")
        header["model"] = {**header["model"], "fields": fields}
    return tensors, header


def current_name(name: str) -> str:
    """Today's name of a tensor in files of format 1, and of the final layer in published files.

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
    theirs = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in [*own, *theirs]:
        if own.get(name) != theirs.get(name):
            raise WrinkleError(
                f"{path}: tensor {name} is {theirs.get(name, 'missing')} in the file, "
                f"{own.get(name, 'missing')} in the model: not a file of this version's model"
            )


def amend(path: str | Path, out: str | Path, **fields: Any) -> None:
    """Write the model file `path` to `out` with some fields of its header set anew."""
    tensors, header = read_model(path)
    write_tensors(out, tensors, {**header, **fields})
