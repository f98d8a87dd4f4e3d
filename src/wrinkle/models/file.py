"""Model files and training states: safetensors with a JSON header. Nothing here unpickles.

A model file holds one model's tensors and, under the metadata key "wrinkle", what it is, what it
expects and where it comes from. A training state holds everything a run needs to go on. Both carry
a SHA-256 over header and tensors, and both replace an older file only when they are whole.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.faces.align import TEMPLATE_VERSION
from wrinkle.files import read_tensors, write_tensors
from wrinkle.models import AgeModel, create_model


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
    tensors, header = read_tensors(path, "model")
    if header["input"]["template"] != TEMPLATE_VERSION:
        raise WrinkleError(
            f"{path}: aligned by face template {header['input']['template']}, this wrinkle has "
            f"{TEMPLATE_VERSION}: train again or use the wrinkle that made it"
        )
    try:
        model = create_model(header["model"]["name"], **header["model"]["fields"])
    except WrinkleError as error:
        raise WrinkleError(f"{path}: {error}") from None
    _check_fit(path, model, tensors)
    model.load_state_dict(tensors)
    return model.to(device).eval(), header


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
    tensors, header = read_tensors(path, "model")
    write_tensors(out, tensors, {**header, **fields})
