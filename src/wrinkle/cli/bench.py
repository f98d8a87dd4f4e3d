"""Measure the speed of models on every engine of this machine: PyTorch, ONNX Runtime, OpenVINO.

Prints milliseconds a face of the network alone, by faces in a batch, with the mirror image where
the model averages with it. With --faces also how much ages differ from PyTorch's in float32, and
the mean absolute error; with --pictures how many of these photographs a second `wrinkle predict`
handles.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wrinkle.cli.options import add_split, at_least
from wrinkle.errors import WrinkleError, require

if TYPE_CHECKING:
    import numpy as np

    from wrinkle.serving.bench import Measured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("models", nargs="*", default=["default"], help="packaged models or model files")
    add(
        "--batch",
        type=at_least(1),
        nargs="+",
        default=[1, 8, 32],
        help="faces in a batch (default: 1 8 32)",
    )
    add("--faces", metavar="STORE", help="a file made by `wrinkle prepare`: errors, and int8")
    add("--limit", type=at_least(1), default=500, help="how many of its faces (default: 500)")
    add_split(parser, "all")
    add("--pictures", nargs="+", metavar="PATH", help="files and folders, for photographs a second")


def run(args: argparse.Namespace) -> int:
    from wrinkle.console import say
    from wrinkle.faces.files import find_images
    from wrinkle.inference.graph_inputs import bench_inputs
    from wrinkle.models.file import load_model
    from wrinkle.models.packaged import model_file
    from wrinkle.serving.bench import bench, recommended

    require("export")
    found = find_images(args.pictures or [])
    pictures = [Path(each) for each in found.files]
    missing = [f"{each}: no such file" for each in pictures if not each.is_file()]
    if missing or found.faults:
        raise WrinkleError([*found.faults, *missing][0])
    choice = args.limit, args.split, args.protocol, args.fold
    for model in args.models:
        path = model_file(model)
        say(f"{model}: exporting and measuring")
        faces, ranges, ages = bench_inputs(load_model(path)[1], args.faces, *choice)
        measured = bench(path, args.batch, faces, ranges, pictures)
        print(f"\n{model}")
        print(_table(measured, ages))
        for batch in args.batch:
            best = recommended(measured, batch)
            print(f"fastest for batches of {batch}: {best.engine}, {best.precision}")
    return 0


def _table(found: "list[Measured]", actual: "np.ndarray") -> str:
    import numpy as np

    head = ["engine", "precision", "MiB", *(f"ms at {n}" for n in found[0].milliseconds)]
    rows = [
        [each.engine, each.precision, f"{each.size:.1f}"]
        + [f"{ms:.2f}" for ms in each.milliseconds.values()]
        for each in found
    ]
    if found[1].photographs is not None:
        head.append("photographs/s")
        for row, each in zip(rows, found, strict=True):
            row.append("" if each.photographs is None else f"{each.photographs:.1f}")
    if len(actual):
        head += ["mean change", "largest", "MAE"]
        for row, each in zip(rows, found, strict=True):
            change = np.abs(each.ages - found[0].ages)
            row += [f"{change.mean():.3f}", f"{change.max():.3f}"]
            row.append(f"{np.abs(each.ages - actual).mean():.3f}")
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ("  ".join(map(str.rjust, row, widths)) for row in [head, *rows])
    return "\n".join(lines)
