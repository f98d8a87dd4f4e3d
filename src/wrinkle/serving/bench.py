"""Speed and error of a model on every engine of this machine, against PyTorch in float32."""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from wrinkle.errors import WrinkleError, missing_packages
from wrinkle.faces.align import TEMPLATE
from wrinkle.faces.input import InputSpec
from wrinkle.inference.engines import ExportedModel, load_network
from wrinkle.inference.export import Export, Precision
from wrinkle.inference.prepared import prepare_for_inference
from wrinkle.models.base import AgeModel
from wrinkle.models.file import load_model
from wrinkle.serving.estimator import AgeEstimator

Inputs = dict[str, np.ndarray]
"""Inputs of an exported graph, see `wrinkle.inference.graph_inputs`."""
ENGINES = {"onnx": ("ONNX Runtime", ".onnx"), "openvino": ("OpenVINO", ".xml")}
"""Extra of an engine → its name, and the ending of its files."""
PREDICTED = "as predicted"


@dataclass(frozen=True)
class Measured:
    """A model on one engine.

    Attributes:
        engine: its name.
        precision: of the file; `PREDICTED` for PyTorch as `wrinkle predict` runs it.
        size: of the file in MiB.
        milliseconds: faces in a batch → milliseconds a face, of the network alone.
        ages: (N,) years, of the faces on which errors are measured.
        photographs: a second, decoded, searched and predicted; None: not measured.
    """

    engine: str
    precision: str
    size: float
    milliseconds: dict[int, float]
    ages: np.ndarray
    photographs: float | None = None


def bench(
    path: Path,
    batches: Sequence[int],
    faces: Sequence[Inputs] = (),
    ranges: Sequence[Inputs] = (),
    pictures: Sequence[Path] = (),
    rounds: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Measured]:
    """Measure a model on PyTorch and, exported, on every installed engine.

    Args:
        path: of the model file.
        batches: sizes of batches.
        faces: on which errors are measured.
        ranges: inputs for the ranges of int8; none: int8 is left out.
        pictures: photographs for `Measured.photographs`.
        rounds: how often each batch is timed; the median counts.
        clock: `time.process_time` for CPU seconds, on a machine that does other work too.

    Returns:
        PyTorch in float32, PyTorch as `wrinkle predict` runs it, then the engines.

    Raises:
        WrinkleError: the file cannot be read or exported, or the extra `export` is missing.
    """
    model, header = load_model(path)
    spec = InputSpec.from_header(header["input"])

    def measured(engine: str, precision: str, file: Path, network: AgeModel) -> Measured:
        run = _runner(network, spec)
        files = [file, file.with_suffix(".bin")] if file.suffix == ".xml" else [file]
        return Measured(
            engine,
            precision,
            sum(each.stat().st_size for each in files) / 2**20,
            {n: _milliseconds(run, _noise(spec, n), rounds, clock) / n for n in batches},
            np.concatenate([np.zeros(0, np.float32), *(run(each) for each in faces)]),
            None
            if engine == "PyTorch" and precision != PREDICTED
            else _rate(file, pictures, clock),
        )

    found = [measured("PyTorch", "float32", path, model)]
    found.append(measured("PyTorch", PREDICTED, path, prepare_for_inference(model)))
    traced = Export.of(*load_model(path))
    precisions: list[Precision] = ["float32", "int8"] if ranges else ["float32"]
    with tempfile.TemporaryDirectory() as folder:
        for precision in precisions:
            rounded = traced.rounded(precision, ranges)
            for extra, (engine, ending) in ENGINES.items():
                if not missing_packages(extra):
                    out = Path(folder) / f"{precision}{ending}"
                    rounded.write(out)
                    found.append(measured(engine, precision, out, load_network(out)[0]))
    return found


def recommended(found: Sequence[Measured], batch: int, largest: float = 0.3) -> Measured:
    """Choose the fastest engine for a size of batch.

    Args:
        found: by `bench`.
        batch: faces in a batch.
        largest: mean difference in years from PyTorch's float32 ages that is acceptable.
    """
    ages = found[0].ages
    fit = [each for each in found if not len(ages) or np.abs(each.ages - ages).mean() <= largest]
    return min(fit, key=lambda each: each.milliseconds[batch])


def _runner(network: AgeModel, spec: InputSpec) -> Callable[[Inputs], np.ndarray]:
    """Inputs of an exported graph → ages (B,) by a network of any engine."""
    exported = isinstance(network, ExportedModel)
    mean, std = (255 * torch.tensor(v).view(3, 1, 1) for v in (spec.mean, spec.std))

    @torch.inference_mode()
    def run(inputs: Inputs) -> np.ndarray:
        images = torch.from_numpy(inputs["face"]).permute(0, 3, 1, 2)
        points = torch.from_numpy(inputs["key_points"])
        found = network.predict(images if exported else (images - mean) / std, points)
        age: np.ndarray = found.age.numpy()
        return age

    return run


def _noise(spec: InputSpec, count: int) -> Inputs:
    """Noise in place of faces, for which engines take as long."""
    random = np.random.default_rng(0)
    face = random.uniform(0, 255, (count, spec.size, spec.size, 3)).astype(np.float32)
    points = np.tile((TEMPLATE * spec.zoom).astype(np.float32), (count, 1, 1))
    return {"face": face, "key_points": points}


def _milliseconds(
    run: Callable[[Inputs], object], inputs: Inputs, rounds: int, clock: Callable[[], float]
) -> float:
    times = []
    for _ in range(rounds + 2):
        began = clock()
        run(inputs)
        times.append(clock() - began)
    return 1000 * statistics.median(times[2:])


def _rate(path: Path, pictures: Sequence[Path], clock: Callable[[], float]) -> float | None:
    if not pictures:
        return None
    estimator = AgeEstimator.load(path, "cpu")
    estimator.predict(pictures[0])
    began = clock()
    if any(each.error for each in estimator.stream(pictures)):
        raise WrinkleError("a picture cannot be read: `wrinkle predict` says which")
    return len(pictures) / (clock() - began)
