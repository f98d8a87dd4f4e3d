"""Score a model on a packed dataset: MAE, CS(5), bias, ε-error; by age decade, gender and group.

Without --split all faces count, the model's own training pictures too if they are among them.
"""

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING

from wrinkle.cli.options import at_least
from wrinkle.errors import WrinkleError

if TYPE_CHECKING:
    import numpy as np


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", help="a packaged model's name or a model file")
    add("store", help="a file made by `wrinkle prepare`")
    add("--split", default="all", choices=["train", "validation", "test", "all"])
    add("--protocol", help="what splits the faces (default: what the model was trained with)")
    add("--fold", help="the fold's name (default: the model's own)")
    add("--predictions", type=Path, metavar="CSV", help="write name, age and predicted age")
    add("--classifiers", action="store_true", help="MAE of each classifier of the model as well")
    add("--device", help="cpu, cuda, cuda:1 …; the GPU if there is one by default")
    add("--batch", type=at_least(1), default=64, help="faces per step (default: 64)")
    add("--workers", type=at_least(0), default=1, help="processes that decode faces (default: 1)")


def run(args: argparse.Namespace) -> int:
    import numpy as np

    from wrinkle.datasets.store import Store
    from wrinkle.evaluation.predict_store import predict_store
    from wrinkle.evaluation.scores import classifier_table, score_table
    from wrinkle.protocols import get_protocol
    from wrinkle.serving.estimator import choose_device
    from wrinkle.serving.packaged import model_file
    from wrinkle.training.checkpoint import load_model

    device = choose_device(args.device)
    model, header = load_model(model_file(args.model), device)
    store = Store(args.store)
    rows = np.arange(len(store))
    if args.split != "all":
        provenance = header["provenance"]
        folds = get_protocol(args.protocol or provenance["split"]).folds(store.columns)
        names = [fold.name for fold in folds]
        wanted = args.fold or provenance["fold"]
        if wanted not in names:
            raise WrinkleError(f"no fold {wanted!r}; choose one of {', '.join(names)}")
        rows = getattr(folds[names.index(wanted)], args.split)
        if not len(rows):
            raise WrinkleError(f"the {args.split} part of fold {wanted} is empty")
    probabilities = predict_store(
        model, header, store, rows, device, args.batch, workers=args.workers, every_classifier=True
    )
    every = probabilities.astype(np.float64) @ np.array(header["ages"])
    predicted = every[:, 0]
    chosen = store.columns.take(rows)
    if args.predictions is not None:
        _write(args.predictions, chosen["name"].to_pylist(), chosen["age"].to_pylist(), predicted)
    print(score_table(predicted, chosen))
    if args.classifiers:
        print(classifier_table(model.classifiers, every, chosen))
    return 0


def _write(path: Path, names: list[str], ages: list[float], predicted: "np.ndarray") -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["name", "age", "predicted"])
            table.writerows(
                [name, f"{age:g}", f"{value:.3f}"]
                for name, age, value in zip(names, ages, predicted.tolist(), strict=True)
            )
    except OSError as error:
        raise WrinkleError(f"cannot write {path}: {error.strerror}") from error
