"""Pack a dataset: find each photograph's face, cut it out, store it with its labels.

Works on all cores; stopped at any moment, the same command goes on where it was. Ends with what
was dropped and why. `wrinkle datasets` lists the datasets that can be read.
"""

import argparse
from pathlib import Path

from wrinkle.cli.options import at_least
from wrinkle.datasets import DATASETS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("dataset", choices=DATASETS, help=", ".join(DATASETS), metavar="DATASET")
    add("root", type=Path, help="the dataset's folder (for `folder`, also its CSV file)")
    add("out", type=Path, help="the file to make, by custom *.arrow")
    add("--size", type=at_least(32), default=256, help="side of the face crops (default: 256)")
    add("--detector", default="mtcnn", help="mtcnn, dlib or yunet:FILE.onnx (default: mtcnn)")
    add("--workers", type=at_least(1), help="processes (default: all cores)")
    add("--limit", type=at_least(1), help="only the first so many pictures, for a trial")
    add("--dropped", type=Path, metavar="CSV", help="write every dropped picture and its reason")


def run(args: argparse.Namespace) -> int:
    from wrinkle.datasets.prepare import prepare

    try:
        done = prepare(
            args.dataset, args.root, args.out, args.size, args.detector, args.workers, args.limit
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped: run the same command again to go on") from None
    print(done.table())
    if args.dropped is not None:
        done.write_dropped(args.dropped)
    return 0
