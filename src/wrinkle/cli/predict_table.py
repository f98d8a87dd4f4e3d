"""`wrinkle predict` for tables of pictures."""

import argparse
import atexit
from pathlib import Path

from wrinkle.errors import WrinkleError, require

SUFFIXES = (".parquet", ".csv")


def table_among(names: list[str]) -> Path | None:
    """The table that is named, if there is one: a Parquet or CSV file, or a folder *.parquet.

    Raises:
        WrinkleError: something else is named beside it.
    """
    tables = [Path(name) for name in names if Path(name).suffix.lower() in SUFFIXES]
    if tables and len(names) > 1:
        raise WrinkleError(f"{tables[0]} is a table: name one table and nothing else")
    return tables[0] if tables else None


def run_table(args: argparse.Namespace, source: Path) -> int:
    """Predict the pictures of a table."""
    if args.out is None:
        raise WrinkleError(f"{source} is a table: name a folder for its results by --out")
    if not source.exists():
        raise WrinkleError(f"{source}: no such file")
    if args.json or args.csv or args.annotate is not None:
        raise WrinkleError("a table gives Parquet: --json, --csv and --annotate are for pictures")
    if args.camera is not None or args.frames is not None:
        raise WrinkleError(f"{source} is a table: --camera and --frames are for videos")
    require("tables")
    from wrinkle.cluster import cores, exit_after_interrupt, join
    from wrinkle.console import count, say
    from wrinkle.serving.estimator import AgeEstimator
    from wrinkle.serving.table import ROWS, PictureTable, Settings, predict_table

    table = PictureTable(source, args.column or "path")
    others = args.detector, args.min_face, args.min_score, args.largest
    # Fails here rather than in a worker. A cluster's machines may have another device.
    AgeEstimator.load(args.model, args.device if args.ray is None else "cpu", *others)
    settings = Settings(args.model, args.device, *others, args.at_least)
    workers = 1
    if args.ray is not None:
        join(args.ray)
        workers = cores()
    try:
        done = predict_table(table, args.out, settings, args.rows or ROWS, workers)
    except KeyboardInterrupt:
        atexit.register(exit_after_interrupt)
        raise KeyboardInterrupt("stopped: run the same command again to continue") from None
    parts = [count(done["rows"], "row"), count(done["faces"], "face")]
    if done["empty"]:
        parts.append(f"{count(done['empty'], 'row')} without a face")
    if done["bad"]:
        parts.append(f"{count(done['bad'], 'row')} whose picture could not be used (column error)")
    if done["kept"]:
        parts.append(f"{count(done['kept'], 'row')} from earlier")
    say(f"{', '.join(parts)}, in {args.out}")
    return 1 if done["bad"] else 0
