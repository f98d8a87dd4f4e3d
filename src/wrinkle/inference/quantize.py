"""Quantisation of exported graphs to 8 bits, after training."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

IN_FLOAT = 5
"""Convolutions at the beginning that stay in float32. Rounding them changes the ages of the default
model three times as much as rounding all others, and saves no time."""


def quantized(graph: Any, faces: Sequence[dict[str, np.ndarray]]) -> Any:
    """Return a graph whose convolutions, but for the first `IN_FLOAT`, compute in 8 bits.

    Weights are symmetric int8 with a scale for each output channel, activations uint8 with one
    scale and offset for each tensor, from the smallest and largest values for the given faces.

    Args:
        graph: `onnx.ModelProto` in float32.
        faces: inputs for which the ranges are chosen.

    Returns:
        An `onnx.ModelProto`, with pairs of QuantizeLinear and DequantizeLinear that engines fuse.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    names = {each.name for each in graph.graph.input}
    convolutions = [node.name for node in graph.graph.node if node.op_type == "Conv"]

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(faces)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.left, None)
            return batch and {name: batch[name] for name in names}

    own = onnx.ModelProto()  # because quantize_static changes its argument
    own.CopyFrom(graph)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "quantized.onnx"
        quantize_static(
            own,
            out,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=convolutions[:IN_FLOAT],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load(out)
