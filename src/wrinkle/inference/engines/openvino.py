"""Exported networks in OpenVINO's form: FILE.xml with the graph, FILE.bin with the weights."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wrinkle.errors import WrinkleError, require
from wrinkle.files import KEY
from wrinkle.inference.engines.header import opened


class OpenVinoEngine:
    """Runs a compiled network on the CPU, with as many threads as PyTorch has.

    Args:
        compiled: OpenVINO's `CompiledModel`.
    """

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self._names = [each.get_any_name() for each in compiled.inputs]
        self._requests = threading.local()  # a request can only be used by one thread at a time

    def __call__(self, faces: np.ndarray, key_points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predict for faces (B, S, S, 3) and key points (B, 5, 2), see `Engine`."""
        if not hasattr(self._requests, "own"):
            self._requests.own = self.compiled.create_infer_request()
        given = {"face": faces, "key_points": key_points}
        self._requests.own.infer({name: given[name] for name in self._names})
        distribution, age = (
            self._requests.own.get_tensor(name).data.copy() for name in ("distribution", "age")
        )
        return distribution, age


def open_openvino(path: Path) -> tuple[OpenVinoEngine, dict[str, Any]]:
    """Open a FILE.xml, with FILE.bin beside it, that `wrinkle export` wrote.

    Args:
        path: of FILE.xml.

    Returns:
        What runs it, and its header.

    Raises:
        WrinkleError: one of them is missing, damaged or of another program, or OpenVINO is missing.
    """
    require("openvino")
    weights = path.with_suffix(".bin")
    if not path.is_file():
        raise WrinkleError(f"{path}: no such file")
    if not weights.is_file():
        raise WrinkleError(
            f"{weights}: no such file: it holds the weights of {path.name} and must be beside it"
        )
    import openvino

    core = openvino.Core()
    try:
        model = core.read_model(path, weights)
        text = model.get_rt_info(KEY).astype(str) if model.has_rt_info(KEY) else None
    except RuntimeError as error:
        raise WrinkleError(
            f"{path}: damaged or cut short (not a complete OpenVINO file): export it again"
        ) from error
    content = checked_content(path.read_bytes(), weights.read_bytes())
    header = opened(path, text, content, "an OpenVINO file")
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",
    }
    return OpenVinoEngine(core.compile_model(model, "CPU", options)), header


def checked_content(graph: bytes, weights: bytes) -> bytes:
    """Return what the checksum is over: the graph up to the metadata, and the weights.

    Args:
        graph: content of FILE.xml, at the end of which the metadata with the checksum is.
        weights: content of FILE.bin.
    """
    return graph.rpartition(b"<rt_info>")[0] + weights
