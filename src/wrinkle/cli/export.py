"""Export a model to ONNX or OpenVINO, for other programs and for faster prediction on CPUs.

The exported graph takes aligned faces, RGB from 0 to 255, and gives distributions and ages. The
model's card, calibration and input travel with it. `wrinkle predict --model FILE` and `wrinkle
evaluate FILE STORE` take exported files like any model file.
"""

import argparse
from pathlib import Path

from wrinkle.cli.options import add_split
from wrinkle.errors import WrinkleError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", help="a packaged model's name or a model file")
    add("out", type=Path, help="FILE.onnx, or FILE.xml for OpenVINO, with FILE.bin beside it")
    add(
        "--precision",
        default="float32",
        choices=["float32", "float16", "int8"],
        help="float16: half the size; int8: a quarter, and faster (default: float32)",
    )
    add(
        "--no-mirror",
        dest="mirror",
        action="store_const",
        const=False,
        help="no average with the mirror image, which some models have: half the time",
    )
    add(
        "--calibrate",
        metavar="STORE",
        help="for int8: a file made by `wrinkle prepare`, whose faces give the ranges",
    )
    add_split(parser, "all")


def run(args: argparse.Namespace) -> int:
    from wrinkle.console import say
    from wrinkle.inference.export import check_target, export_model
    from wrinkle.inference.graph_inputs import quantization_inputs
    from wrinkle.models.file import load_model
    from wrinkle.models.packaged import model_file

    check_target(args.out)
    if (args.precision == "int8") != (args.calibrate is not None):
        raise WrinkleError("int8 and --calibrate STORE belong together: give both or neither")
    model, header = load_model(model_file(args.model))
    faces = []
    if args.calibrate is not None:
        faces = quantization_inputs(header, args.calibrate, args.split, args.protocol, args.fold)
    export_model(model, header, args.out, args.precision, args.mirror, faces)
    onnx = args.out.suffix.lower() == ".onnx"
    files = [args.out] if onnx else [args.out, args.out.with_suffix(".bin")]
    size = sum(file.stat().st_size for file in files)
    say(f"wrote {args.out}: {args.precision}, {size / 2**20:.1f} MiB")
    return 0
