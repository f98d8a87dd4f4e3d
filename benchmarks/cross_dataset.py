"""Models on several datasets at once, to choose between them: tables of the model card.

    python benchmarks/cross_dataset.py default FILE … --utkface utkface.arrow --lfw lfw.arrow \\
        --fairface fairface.arrow --fgnet fgnet.arrow --studio studio.arrow

Validation parts of the datasets that the default model is trained on, and all faces of those that
it is not. With `--test` the test parts. MAE in years and, in brackets, bias; for FairFace, whose
labels are ranges, the distance to the range, the share of estimates in it, and the share of faces
under 10 that are estimated at 18 or older. `mean` is the mean of MAE and distance over the datasets
that are trained on, as it chooses the epoch in training.
"""

import argparse
from typing import Literal

import numpy as np

from wrinkle.datasets.store import Store
from wrinkle.evaluation.evaluate_store import predict
from wrinkle.evaluation.predictions import Predictions
from wrinkle.evaluation.range_scores import score_all_ranges
from wrinkle.inference.engines import load_network
from wrinkle.inference.provenance import split_rows
from wrinkle.models.packaged import model_file

TRAINED_ON = {
    "utkface": ("utkface", "utkface"),
    "lfw": ("by-person:10", "1"),
    "fairface": ("fairface", "fairface"),
}
"""Dataset → protocol and fold of recipes/default.yaml."""
OUTSIDE = ("fgnet", "studio")
"""Datasets that it has no part in."""


def main() -> None:
    args = arguments()
    part: Literal["test", "validation"] = "test" if args.test else "validation"
    sets = {}
    for name in (*TRAINED_ON, *OUTSIDE):
        if getattr(args, name):
            file, *every = getattr(args, name)
            store = Store(file)
            rows = np.arange(len(store))
            if name in TRAINED_ON:
                rows = split_rows(store, part, *TRAINED_ON[name])
            sets[name] = store, rows[:: int(every[0]) if every else 1]
    print(f"| model | {' | '.join(sets)} | mean |\n|---|{'---:|' * (len(sets) + 1)}")
    for system in args.models:
        model, header = load_network(model_file(system), "cpu")
        model.mirror_average |= args.mirror
        found = {n: judged(predict(system, model, header, *faces)) for n, faces in sets.items()}
        cells = [cell for _, cell in found.values()]
        known = [found[name][0] for name in TRAINED_ON if name in found]
        mean = f"{np.mean(known):.3f}" if known else "–"
        print(f"| {system} | {' | '.join(cells)} | {mean} |", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="packaged models or model files")
    for name in (*TRAINED_ON, *OUTSIDE):
        parser.add_argument(
            f"--{name}", nargs="+", metavar=("STORE", "EVERY"), help="only every n-th face"
        )
    parser.add_argument("--test", action="store_true", help="the test parts")
    parser.add_argument("--mirror", action="store_true", help="average with the mirror image")
    args = parser.parse_args()
    if not any(getattr(args, name) for name in (*TRAINED_ON, *OUTSIDE)):
        parser.error("give at least one store")
    return args


def judged(predictions: Predictions) -> tuple[float, str]:
    """Mean absolute error in years, or mean distance to the range, and what the table says."""
    differences = predictions.predicted - predictions.actual
    if not np.isnan(differences).any():
        mae = float(np.abs(differences).mean())
        return mae, f"{mae:.2f} ({differences.mean():+.2f})"
    score = score_all_ranges(predictions)
    children = "" if score.children is None else f", {score.children.value:.1%}"
    distance = score.distance.value
    return distance, f"{distance:.2f}, {score.inside.value:.1%}{children}"


if __name__ == "__main__":
    main()
