"""Calibrate a model's intervals on faces whose ages are known, and write it to a new file.

`wrinkle train` does so by itself where the protocol has a validation part. Calibrate again for
pictures of another kind than those of the training: what the intervals promise, they promise for
faces like the ones given here. Never on faces that the model was trained on.
"""

import argparse
from pathlib import Path

from wrinkle.cli.options import add_split, at_least, split_rows
from wrinkle.errors import WrinkleError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", help="a packaged model's name or a model file")
    add("store", help="a file made by `wrinkle prepare`")
    add("out", type=Path, help="the calibrated model file")
    add_split(parser, "validation")
    add("--device", help="cpu, cuda, cuda:1 …; the GPU if there is one by default")
    add("--batch", type=at_least(1), default=64, help="faces per step (default: 64)")
    add("--workers", type=at_least(0), default=1, help="processes that decode faces (default: 1)")


def run(args: argparse.Namespace) -> int:
    import numpy

    from wrinkle.datasets.store import Store
    from wrinkle.inference.conformal import calibrate
    from wrinkle.inference.predict_store import predict_store
    from wrinkle.models.file import amend, load_model
    from wrinkle.models.packaged import model_file
    from wrinkle.serving.estimator import choose_device
    from wrinkle.training.integrity import learned

    device = choose_device(args.device)
    source = model_file(args.model)
    model, header = load_model(source, device)
    store = Store(args.store)
    provenance = header["provenance"]
    rows = split_rows(args, store, provenance["split"], provenance["fold"])
    trained = numpy.isin(rows, learned(provenance, store, ["train"])).sum()
    if trained:
        raise WrinkleError(
            f"{args.model} was trained on {trained:,} of these {len(rows):,} faces, on which its "
            "errors are too small to calibrate by: take others, --split validation for one"
        )
    distributions = predict_store(
        model, header, store, rows, device, args.batch, workers=args.workers
    )
    part = "all faces" if args.split == "all" else f"{args.split} part"
    data = f"{part} of {Path(args.store).name}"
    calibration = calibrate(distributions, header["ages"], store.ages[rows], data)
    amend(source, args.out, calibration=calibration.to_header())
    low, high = calibration.interval(distributions, header["ages"]).T
    print(
        f"{args.out}: calibrated on {len(rows):,} faces ({data}); 90 % intervals are "
        f"{(high - low).mean():.1f} years wide on average"
    )
    return 0
