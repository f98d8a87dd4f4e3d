"""Calibrate a model's intervals on faces of known age, and write the model to a new file.

`wrinkle train` calibrates if the protocol has a validation part. Calibrate again for pictures that
differ from the training pictures: intervals are valid for faces like those of the calibration. The
model must not have been trained on them.
"""

import argparse
from pathlib import Path

from wrinkle.cli.options import add_split, at_least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", help="a packaged model's name or a model file")
    add("store", help="a file made by `wrinkle prepare`")
    add("out", type=Path, help="the calibrated model file")
    add(
        "--also",
        nargs="+",
        default=(),
        metavar="STORE",
        help="further stores; each store, and in a store each person, then counts the same, and so "
        "do errors of either sign",
    )
    add_split(parser, "validation")
    add("--device", help="cpu, cuda, cuda:1 …; the GPU if there is one by default")
    add("--batch", type=at_least(1), default=64, help="faces per step (default: 64)")
    add("--workers", type=at_least(0), default=1, help="processes that decode faces (default: 1)")


def run(args: argparse.Namespace) -> int:
    from wrinkle.evaluation import calibrate_model

    calibration, width = calibrate_model(**vars(args))
    print(
        f"{args.out}: calibrated on {calibration.faces:,} faces ({calibration.data}); 90 % "
        f"intervals are {width:.1f} years wide on average"
    )
    return 0
