"""Several recipes' runs on the same folds as one table, each beside one of them.

    wrinkle train recipes/fgnet/by_person_small/dhaa.yaml data.store=fgnet.arrow      # and others
    python benchmarks/ablation.py runs/fgnet/by_person_small --against dhaa

Reads every run's predictions.csv. The difference is that of the absolute errors on the same
pictures, with the central 95 % of 2,000 bootstrap samples over people; FG-NET's file names say who
is who.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

SAMPLES = 2000
Errors = dict[str, float]
"""Picture → absolute error in years."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--against", default="dhaa")
    args = parser.parse_args()
    base = {name: e for fold in folds(args.runs / args.against) for name, e in fold.items()}
    print(f"| recipe | MAE over folds | over all pictures | minus {args.against}'s, 95 % |")
    print("|---|---:|---:|---:|")
    for run in sorted(args.runs.iterdir()):
        parts = folds(run)
        if not parts:
            continue
        errors = {name: e for fold in parts for name, e in fold.items()}
        means = [np.mean(list(fold.values())) for fold in parts]
        spread = f" ± {np.std(means, ddof=1):.3f}" if len(means) > 1 else ""
        print(f"| {run.name} | {np.mean(means):.3f}{spread} of {len(parts)} folds ", end="")
        print(f"| {np.mean(list(errors.values())):.3f} | {difference(errors, base)} |")


def folds(run: Path) -> list[Errors]:
    """The finished folds of a run."""
    return [read(file) for file in sorted(run.glob("*/predictions.csv"))]


def read(file: Path) -> Errors:
    with file.open(newline="", encoding="utf-8") as rows:
        return {
            row["name"]: abs(float(row["predicted"]) - float(row["age"]))
            for row in csv.DictReader(rows)
        }


def difference(errors: Errors, base: Errors) -> str:
    names = [name for name in errors if name in base]
    if not names:
        return ""
    people = np.array([Path(name).name[:3] for name in names])
    gap = np.array([errors[name] - base[name] for name in names])
    groups = [gap[people == person] for person in np.unique(people)]
    random = np.random.default_rng(0)
    drawn = (random.integers(0, len(groups), len(groups)) for _ in range(SAMPLES))
    means = [np.concatenate([groups[i] for i in sample]).mean() for sample in drawn]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{gap.mean():+.2f} ({low:+.2f} … {high:+.2f})"


if __name__ == "__main__":
    main()
