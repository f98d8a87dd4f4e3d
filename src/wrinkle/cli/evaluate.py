"""Score systems on a packed dataset: MAE, CS(5), bias, ε-error, coverage of intervals; by age
decade, gender and group; each with its 95 % interval. Several are compared on the same pictures.

A system is a model, or a CSV file of anybody's predictions (columns name and predicted, and low and
high where it gives 90 % intervals). Without --split all faces count; a line says how many of them a
model was trained on.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wrinkle.cli.options import add_split, at_least, split_rows
from wrinkle.errors import WrinkleError

if TYPE_CHECKING:
    from wrinkle.datasets.store import Store
    from wrinkle.evaluation.predictions import Predictions

CHALLENGES = range(18, 31)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("systems", nargs="+", metavar="system", help="a packaged model, a model file, a CSV file")
    add("store", help="a file made by `wrinkle prepare`")
    add_split(parser, "all")
    add("--predictions", type=Path, metavar="CSV", help="write a single system's predictions")
    add("--classifiers", action="store_true", help="MAE of each classifier of a model as well")
    add("--challenge", action="store_true", help="age assurance: who passes at 18, 19, … 30 years")
    add("--device", help="cpu, cuda, cuda:1 …; the GPU if there is one by default")
    add("--batch", type=at_least(1), default=64, help="faces per step (default: 64)")
    add("--workers", type=at_least(0), default=1, help="processes that decode faces (default: 1)")


def run(args: argparse.Namespace) -> int:
    from wrinkle.datasets.store import Store
    from wrinkle.evaluation.assurance import challenge_table
    from wrinkle.evaluation.predictions import in_common, to_csv
    from wrinkle.evaluation.scores import comparison_table, score_table

    if args.predictions is not None and len(args.systems) > 1:
        raise WrinkleError("--predictions writes those of one system; name one")
    store = Store(args.store)
    found = [_predict(args, system, store) for system in args.systems]
    if args.predictions is not None:
        try:
            args.predictions.write_bytes(to_csv(found[0][0]))
        except OSError as error:
            raise WrinkleError(f"cannot write {args.predictions}: {error.strerror}") from error
    for predictions, notes in found:
        if len(found) > 1:
            print(f"\n{predictions.system}")
        print(score_table(predictions))
        for note in notes:
            print(note)
        if args.challenge:
            print("\n" + challenge_table(predictions, CHALLENGES))
    if len(found) > 1:
        print("\n" + comparison_table(in_common([predictions for predictions, _ in found])))
    return 0


def _predict(
    args: argparse.Namespace, system: str, store: "Store"
) -> "tuple[Predictions, list[str]]":
    """A system's predictions for the faces that are asked for, and what must be said of them."""
    return _read(args, system, store) if system.endswith(".csv") else _run(args, system, store)


def _read(args: argparse.Namespace, file: str, store: "Store") -> "tuple[Predictions, list[str]]":
    import numpy as np

    from wrinkle.evaluation.predictions import read_predictions

    predictions = read_predictions(file, store.columns)
    if args.split == "all":
        return predictions, []
    rows = split_rows(args, store, None, None)
    names = store.columns["name"].take(rows).to_pylist()
    inside = np.isin(predictions.rows["name"].to_pylist(), names)
    if not inside.any():
        raise WrinkleError(f"{file} holds no picture of the {args.split} part")
    return predictions.take(np.flatnonzero(inside)), [_people(args.protocol)]


def _run(args: argparse.Namespace, system: str, store: "Store") -> "tuple[Predictions, list[str]]":
    import numpy as np

    from wrinkle.evaluation.predictions import Predictions
    from wrinkle.evaluation.scores import classifier_table
    from wrinkle.inference.conformal import Calibration
    from wrinkle.inference.predict_store import predict_store
    from wrinkle.models.file import load_model
    from wrinkle.models.packaged import model_file
    from wrinkle.serving.estimator import choose_device
    from wrinkle.training.integrity import learned

    device = choose_device(args.device)
    model, header = load_model(model_file(system), device)
    provenance = header["provenance"]
    rows = split_rows(args, store, provenance["split"], provenance["fold"])
    probabilities = predict_store(
        model, header, store, rows, device, args.batch, workers=args.workers, every_classifier=True
    )
    every = probabilities.astype(np.float64) @ np.array(header["ages"])
    calibration = Calibration.from_header(header)
    interval = None
    if calibration is not None:
        interval = calibration.interval(probabilities[:, 0], header["ages"])
    predictions = Predictions(system, store.columns.take(rows), every[:, 0], interval)
    notes = []
    if args.classifiers:
        notes.append(classifier_table(model.classifiers, every, predictions.actual))
    if args.split != "all":
        notes.append(_people(args.protocol or provenance["split"]))
    trained = np.isin(rows, learned(provenance, store, ["train"])).sum()
    if trained:
        notes.append(f"{system} was trained on {trained:,} of these faces.")
    return predictions, notes


def _people(protocol: str) -> str:
    from wrinkle.protocols import get_protocol

    return f"People in training and test: {get_protocol(protocol).people}."
