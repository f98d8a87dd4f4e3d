"""Report on runs, and on files of predictions, as one HTML page that works offline.

wrinkle report runs/adpf/fgnet_by_person-small runs/adpf/fgnet_by_person-small-res18_ex
wrinkle report runs/dhaa/utkface-small others.csv --out compared

A run is a folder that `wrinkle train` made; its finished folds are reported. A CSV or Parquet file
holds the predictions of any system (columns name and predicted) for faces of the first run's store.
All systems are compared with the first one. The figures are also written as SVG and PDF files.
"""

import argparse
import shlex
import sys
from pathlib import Path

from wrinkle.cli.options import some_path
from wrinkle.errors import WrinkleError, require


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("systems", nargs="+", metavar="run", help="a run's folder, or a file of predictions")
    add("--out", type=some_path, default=Path("report"), help="folder (default: report)")
    add("--store", type=Path, help="the packed dataset, instead of the one that the recipes name")
    add("--no-pictures", action="store_true", help="show no faces, so that it can be shared")


def run(args: argparse.Namespace) -> int:
    require("report")
    from wrinkle.console import complain, count, progress, say
    from wrinkle.datasets.store import Store
    from wrinkle.report.page import write_report
    from wrinkle.report.sources import System, read_system, renamed

    if args.out.is_file():
        raise WrinkleError(f"cannot write to {args.out}: it is a file, give a folder")
    store = Store(args.store) if args.store else None
    systems: list[System] = []
    failed: list[WrinkleError] = []
    for path in progress(args.systems, "read", "system"):
        stores = [s.run.store for s in systems if s.run and s.run.store is not None]
        faces = store if store is not None else next(iter(stores), None)
        try:
            systems.append(read_system(path, args.store, faces))
        except WrinkleError as error:
            failed.append(error)
    if not systems:
        raise failed[0]
    for reason in failed:
        complain(f"left out: {reason}")
    command = shlex.join(["wrinkle", *sys.argv[1:]])
    page = write_report(renamed(systems), args.out, command, not args.no_pictures)
    print(page)
    say(f"wrote {page}: {count(len(systems), 'system')}; the figures are in {args.out / 'figures'}")
    return 1 if failed else 0
