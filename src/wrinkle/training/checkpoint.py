"""Model files and training states: safetensors with a JSON header. Nothing here unpickles.

A model file holds one model's tensors and, under the metadata key "wrinkle", what it is, what it
expects and where it comes from. A training state holds everything a run needs to go on. Both carry
a SHA-256 over header and tensors, and both replace an older file only when they are whole.
"""

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.faces.align import TEMPLATE_VERSION
from wrinkle.models import AgeModel, create_model

FORMAT = 1
KEY = "wrinkle"


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


def write_tensors(path: str | Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and header as one checked file that appears whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"format": FORMAT, **header}
    header["sha256"] = _digest(plain, header)
    replace_file(Path(path), save(plain, {KEY: json.dumps(header, ensure_ascii=False)}))


def amend(path: str | Path, out: str | Path, **fields: Any) -> None:
    """Write the model file `path` to `out` with some fields of its header set anew."""
    tensors, header = read_tensors(path, "model")
    write_tensors(out, tensors, {**header, **fields})


def read_tensors(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a file by `write_tensors`, checked against its checksum."""
    path = Path(path)
    if not path.is_file():
        raise WrinkleError(f"{path}: no such file")
    damaged = f"{path}: damaged or cut short (not a whole safetensors file): fetch it again"
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(metadata.get(KEY, "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise WrinkleError(damaged) from error
    if header is None:
        raise WrinkleError(f"{path}: a safetensors file of another program, not of wrinkle")
    if not isinstance(header, dict) or header.get("sha256") != _digest(tensors, header):
        raise WrinkleError(f"{path}: damaged: its checksum does not match: fetch it again")
    if header["format"] != FORMAT or header["kind"] != kind:
        raise WrinkleError(
            f"{path}: a wrinkle {header['kind']} file of format {header['format']}; "
            f"this needs a {kind} file of format {FORMAT}"
        )
    return tensors, header


def _digest(tensors: dict[str, Tensor], header: dict[str, Any]) -> str:
    """SHA-256 of the header (without its own checksum) and of every tensor by name."""
    rest = {key: value for key, value in header.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].reshape(-1)
        digest.update(f"{name} {tensor.dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensor.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def replace_file(path: Path, content: bytes, writer: str = "") -> None:
    """Write a file so that, whatever happens, either the old or the new content is there.

    writer: what tells apart those who may write the same file at the same time.
    """
    temporary = path.with_name(f"{path.name}{writer}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        raise WrinkleError(
            f"{path}: cannot write {len(content) / 2**20:.1f} MiB: {reason}; what was there before "
            "is kept: make room and run the same command again"
        ) from error


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory (momenta and the like) under the names of the parameters."""
    return {
        f"{key}:{name}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def restore_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Put `optimizer_tensors` back, each where the optimizer itself would have made it."""
    parameters = dict(model.named_parameters())
    for place, value in tensors.items():
        key, _, name = place.partition(":")
        parameter = parameters[name]
        like = torch.empty_like(parameter) if value.shape == parameter.shape else value.clone()
        optimizer.state[parameter][key] = like.copy_(value)
