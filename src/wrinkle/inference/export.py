"""Export of networks to ONNX and OpenVINO.

The exported graph takes faces that are aligned and otherwise untouched, RGB from 0 to 255, so that
other programs need no more than `InputSpec` says; it gives distributions and ages. It is made of
standard operators.
"""

import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError, require
from wrinkle.faces.align import TEMPLATE
from wrinkle.faces.input import InputSpec
from wrinkle.files import FORMAT, KEY, cannot_write, replace_file
from wrinkle.inference.engines.header import KIND, sealed
from wrinkle.inference.engines.openvino import checked_content
from wrinkle.inference.prepared import fold_batch_norm
from wrinkle.inference.quantize import quantized
from wrinkle.models.base import AgeModel
from wrinkle.models.file import EXPORTED

Precision = Literal["float32", "float16", "int8"]
FEWEST_HALF = 1024
"""Tensors of fewer numbers, such as biases, stay in float32."""


class ExportedGraph(nn.Module):
    """What is exported: normalisation, the network, and the mean with the mirror image.

    Args:
        model: the network, in evaluation mode.
        spec: its input.
        mirror: as for `AgeModel.predict`.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, model: AgeModel, spec: InputSpec, mirror: bool | None) -> None:
        super().__init__()
        self.model, self.mirror = model, mirror
        for name, values in (("shift", spec.mean), ("scale", spec.std)):
            self.register_buffer(name, 255 * torch.tensor(values).view(3, 1, 1))

    def forward(self, face: Tensor, key_points: Tensor) -> tuple[Tensor, Tensor]:
        """Predict.

        Args:
            face: (B, S, S, 3) float32, RGB from 0 to 255.
            key_points: (B, 5, 2) float32 in [−1, 1].

        Returns:
            Distributions (B, A) and ages (B,).
        """
        images = (face.permute(0, 3, 1, 2) - self.shift) / self.scale
        found = self.model.predict(images, key_points, self.mirror)
        return found.distribution, found.age


def plain_input(spec: InputSpec) -> InputSpec:
    """Return the input of the exported graph: the same view, as RGB from 0 to 255."""
    return replace(spec, mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))


def export_model(
    model: AgeModel,
    header: dict[str, Any],
    out: str | Path,
    precision: Precision = "float32",
    mirror: bool | None = None,
    faces: Sequence[dict[str, np.ndarray]] = (),
) -> None:
    """Export a network to ONNX or, if the file's name ends with .xml, to OpenVINO.

    The header travels with the graph, its "input" replaced by the graph's (`plain_input`).

    Args:
        model: the network in float32, on the CPU; it cannot be trained or saved afterwards.
        header: of its model file.
        out: FILE.onnx, or FILE.xml, beside which FILE.bin is written.
        precision: "float16" stores the weights so, which halves the file; engines compute in the
            precision that suits the processor. "int8" computes the convolutions in 8 bits.
        mirror: whether the graph averages with the prediction for the mirror image; None: as the
            model does.
        faces: inputs for which the ranges of 8 bits are chosen, {"face": (B, S, S, 3),
            "key_points": (B, 5, 2)} each; for int8 only.

    Raises:
        WrinkleError: another ending, an extra is missing, or the file cannot be written.
    """
    check_target(Path(out))
    if precision == "int8" and not faces:
        raise WrinkleError("int8 needs faces to choose its ranges by: name a store of them")
    Export.of(model, header, mirror).rounded(precision, faces).write(out)


@dataclass(frozen=True)
class Export:
    """A network as a graph of standard operators, which can be written to files.

    Attributes:
        graph: `onnx.ModelProto`.
        header: of the files.
    """

    graph: Any
    header: dict[str, Any]

    @classmethod
    def of(cls, model: AgeModel, header: dict[str, Any], mirror: bool | None = None) -> "Export":
        """Trace a network, in float32; arguments as for `export_model`."""
        require("export")
        spec = InputSpec.from_header(header["input"])
        about = {key: value for key, value in header.items() if key not in ("sha256", "kind")}
        about |= {"kind": KIND, "format": FORMAT, "input": plain_input(spec).to_header()}
        mirror = model.mirror_average if mirror is None else mirror
        about["exported"] = {"precision": "float32", "mirror": mirror}
        return cls(build_graph(model, spec, mirror), about)

    def rounded(
        self, precision: Precision, faces: Sequence[dict[str, np.ndarray]] = ()
    ) -> "Export":
        """Return the network in a precision; arguments as for `export_model`."""
        if precision not in get_args(Precision):
            choices = ", ".join(get_args(Precision))
            raise WrinkleError(f"precision is {precision!r}; one of: {choices}")
        with _quiet():
            graph = self.graph
            if precision == "float16":
                graph = stored_as_half(graph)
            elif precision == "int8":
                graph = quantized(graph, faces)
        about = {**self.header["exported"], "precision": precision}
        return Export(graph, {**self.header, "exported": about})

    def write(self, out: str | Path) -> None:
        """Write FILE.onnx, or FILE.xml with FILE.bin."""
        write = write_onnx if Path(out).suffix.lower() == ".onnx" else write_openvino
        write(Path(out), self.graph, self.header)


def check_target(out: Path) -> None:
    """Check, before the work, that a file's name chooses a format and that it can be written.

    Raises:
        WrinkleError: it ends with neither .onnx nor .xml, an extra is missing, or the place cannot
            be written.
    """
    if out.suffix.lower() not in EXPORTED:
        raise WrinkleError(f"{out}: the name must end with .onnx or, for OpenVINO, with .xml")
    require("export")
    if out.suffix.lower() == ".xml":
        require("openvino")
    if out.is_dir():
        raise WrinkleError(f"{out} is a folder: give the name of a file")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise WrinkleError(cannot_write(out, error)) from error


def build_graph(model: AgeModel, spec: InputSpec, mirror: bool) -> Any:
    """Return a network as an `onnx.ModelProto` in float32, for batches of any size.

    Its inputs are "face" and, if the network uses them, "key_points"; its outputs "distribution"
    and "age".
    """
    model.cpu().eval().requires_grad_(False)
    fold_batch_norm(model)
    face = torch.zeros(2, spec.size, spec.size, 3)
    points = torch.tensor(TEMPLATE * spec.zoom, dtype=torch.float32).repeat(2, 1, 1)
    batch = torch.export.Dim("batch", min=1)
    with _quiet():
        program = torch.onnx.export(
            ExportedGraph(model, spec, mirror).eval(),
            (face, points),
            dynamo=True,
            dynamic_shapes={"face": {0: batch}, "key_points": {0: batch}},
            input_names=["face", "key_points"],
            output_names=["distribution", "age"],
            verbose=False,
        )
    assert program is not None
    graph = program.model_proto
    for given in [each for each in graph.graph.input if each.name == "key_points"]:
        if not any(given.name in node.input for node in graph.graph.node):
            graph.graph.input.remove(given)
    return graph


def stored_as_half(graph: Any) -> Any:
    """Return an `onnx.ModelProto` whose large weights are stored in float16.

    Engines convert them to float32 once, when they load the file.
    """
    from onnx import ModelProto, TensorProto, helper, numpy_helper

    result = ModelProto()
    result.CopyFrom(graph)
    casts = []
    for tensor in result.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type == TensorProto.FLOAT and values.size >= FEWEST_HALF:
            name = tensor.name
            limit = np.finfo(np.float16).max
            half = values.clip(-limit, limit).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *result.graph.node]
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    return result


def write_onnx(path: Path, graph: Any, header: dict[str, Any]) -> None:
    """Write an `onnx.ModelProto` and a header, which follows the graph in the file."""
    from onnx import ModelProto, StringStringEntryProto

    content = graph.SerializeToString()
    text = sealed({**header, "bytes": len(content)}, content)
    # Messages of Protocol Buffers may be written in parts, one after another.
    part = ModelProto(metadata_props=[StringStringEntryProto(key=KEY, value=text)])
    replace_file(path, content + part.SerializeToString())


def write_openvino(path: Path, graph: Any, header: dict[str, Any]) -> None:
    """Write an `onnx.ModelProto` and a header in OpenVINO's form: FILE.bin, then FILE.xml."""
    require("openvino")
    import openvino

    model = openvino.Core().read_model(io.BytesIO(graph.SerializeToString()))
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model.xml"
        model.set_rt_info("", KEY)
        openvino.serialize(model, made)
        weights = made.with_suffix(".bin").read_bytes()
        content = checked_content(made.read_bytes(), weights)
        model.set_rt_info(sealed({**header, "bytes": len(content)}, content), KEY)
        openvino.serialize(model, made)
        replace_file(path.with_suffix(".bin"), weights)
        replace_file(path, made.read_bytes())


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence advice on packages, operators and steps that are not needed."""
    logs = [logging.getLogger(name) for name in ("", "torch.onnx")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
