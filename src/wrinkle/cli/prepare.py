"""Pack a dataset: detect each photograph's face, crop it, store it with its labels.

Uses all cores. If it is stopped, the same command continues. At the end it prints how many pictures
were dropped and why. `wrinkle datasets` lists the datasets that can be read.
"""

import argparse
from pathlib import Path

from wrinkle.cli.options import add_plugins, at_least
from wrinkle.errors import WrinkleError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("dataset", metavar="DATASET", help="its name; `wrinkle datasets` lists them")
    add("root", type=Path, help="the dataset's folder (for `folder`, also its CSV file)")
    add("out", type=Path, help="the file to make, usually called *.arrow")
    add("--size", type=int, default=256, help="side of the face crops (default: 256)")
    add("--detector", default="mtcnn", help="mtcnn, dlib or yunet:FILE.onnx (default: mtcnn)")
    add("--workers", type=at_least(1), help="processes (default: all cores)")
    add("--limit", type=at_least(1), help="read only this many pictures, for a trial")
    add("--dropped", type=Path, metavar="CSV", help="write every dropped picture and its reason")
    add_plugins(parser)


def run(args: argparse.Namespace) -> int:
    from wrinkle.console import say
    from wrinkle.datasets.prepare import check_dropped, prepare

    if args.dropped is not None:
        if args.dropped.resolve() == args.out.resolve():
            raise WrinkleError(f"--dropped {args.dropped} is also the store: name another file")
        check_dropped(args.dropped)
    try:
        done = prepare(
            args.dataset,
            args.root,
            args.out,
            args.size,
            args.detector,
            args.workers,
            args.limit,
            args.plugin,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped: run the same command again to continue") from None
    print(done.table())
    if args.dropped is not None:
        done.write_dropped(args.dropped)
        say(f"wrote {args.dropped}: every dropped picture and its reason")
    return 0
