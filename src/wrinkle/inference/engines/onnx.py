"""Exported networks in ONNX files, run by ONNX Runtime."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wrinkle.errors import WrinkleError, require
from wrinkle.files import KEY
from wrinkle.inference.engines.header import opened


class OnnxEngine:
    """Runs an ONNX file on the CPU, with as many threads as PyTorch has.

    Args:
        content: of the file.
    """

    def __init__(self, content: bytes) -> None:
        self._content, self._process = content, os.getpid()
        self.session = _session(content)

    def __call__(self, faces: np.ndarray, key_points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predict for faces (B, S, S, 3) and key points (B, 5, 2), see `Engine`."""
        if os.getpid() != self._process:  # its threads do not exist after a fork
            self.session, self._process = _session(self._content), os.getpid()
        given = {"face": faces, "key_points": key_points}
        wanted = {each.name: given[each.name] for each in self.session.get_inputs()}
        distribution, age = self.session.run(["distribution", "age"], wanted)
        return distribution, age


def open_onnx(path: Path) -> tuple[OnnxEngine, dict[str, Any]]:
    """Open an ONNX file that `wrinkle export` wrote.

    Args:
        path: the file.

    Returns:
        What runs it, and its header.

    Raises:
        WrinkleError: it is missing, damaged or of another program, or ONNX Runtime is missing.
    """
    require("onnx")
    if not path.is_file():
        raise WrinkleError(f"{path}: no such file")
    content = path.read_bytes()
    try:
        engine = OnnxEngine(content)
    except Exception as error:  # ONNX Runtime has an exception of its own for each of its codes
        raise WrinkleError(
            f"{path}: damaged or cut short (not a complete ONNX file): export it again"
        ) from error
    text = engine.session.get_modelmeta().custom_metadata_map.get(KEY)
    return engine, opened(path, text, content, "an ONNX file")


def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that wait for work actively would take the cores from detection.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
