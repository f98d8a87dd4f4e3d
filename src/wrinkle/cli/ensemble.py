"""Make one model of several, whose distribution is the mean of theirs.

An ensemble is more accurate than each of its models, and takes the time of all; the mirror image
counts too. The models may have
other networks, input sizes and zooms; their ages must be the same. Calibrate the new model's
intervals afterwards: `wrinkle calibrate`.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("models", nargs="+", help="packaged models' names or model files, at least two")
    add("--out", type=Path, required=True, help="the new model file")
    add(
        "--decode",
        choices=["mean", "median"],
        default="median",
        help="how the age is read from the mean distribution (default: median)",
    )


def run(args: argparse.Namespace) -> int:
    from wrinkle.console import say
    from wrinkle.inference.ensemble_file import save_ensemble

    result = save_ensemble(args.models, args.out, args.decode)
    say(
        f"wrote {args.out}: {len(args.models)} networks, an input of {result.input_size} pixels at "
        f"zoom {result.zoom:g}; its intervals are not calibrated: `wrinkle calibrate`"
    )
    return 0
