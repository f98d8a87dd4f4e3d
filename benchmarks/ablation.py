"""Compare several recipes' runs on the same folds with one of them, as a table.

    wrinkle train recipes/dhaa.yaml size=small dataset=fgnet_by_person                # and variants
    python benchmarks/ablation.py runs/dhaa/fgnet_by_person-small* \\
        --against runs/dhaa/fgnet_by_person-small

The difference is that of the absolute errors on the same pictures, with its 95 % interval from
2,000 bootstrap samples, which draw people where the store knows them, else pictures.
"""

import argparse
from pathlib import Path

import numpy as np

from wrinkle.errors import WrinkleError
from wrinkle.evaluation.predictions import Predictions, in_common
from wrinkle.evaluation.scores import clusters
from wrinkle.evaluation.uncertainty import compare
from wrinkle.runs.folder import RESULT_FILE
from wrinkle.runs.reader import read_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--against", required=True, type=Path)
    args = parser.parse_args()
    base = read_run(args.against).predictions
    print(f"| recipe | MAE over folds | over all pictures | minus {args.against}'s, 95 % |")
    print("|---|---:|---:|---:|")
    for folder in args.runs:
        if not any(folder.glob(f"*/{RESULT_FILE}")):
            continue
        run = read_run(folder)
        means = [result.mae for result in run.results]
        spread = f" ± {np.std(means, ddof=1):.3f}" if len(means) > 1 else ""
        tested = run.predictions
        error = np.abs(tested.predicted - tested.actual).mean()
        name = f"{folder.parent.name}/{folder.name}"
        print(f"| {name} | {np.mean(means):.3f}{spread} of {len(means)} folds ", end="")
        print(f"| {error:.3f} | {difference(tested, base)} |")


def difference(tested: Predictions, base: Predictions) -> str:
    try:
        ours, theirs = in_common([tested, base])
    except WrinkleError:
        return ""
    gap = compare(ours.predicted, theirs.predicted, ours.actual, clusters(ours)).difference
    return f"{gap.value:+.2f} ({gap.low:+.2f} … {gap.high:+.2f})"


if __name__ == "__main__":
    main()
