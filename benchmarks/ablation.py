"""Compare several recipes' runs on the same folds with one of them, as a table.

    wrinkle train recipes/dhaa.yaml size=small dataset=fgnet_by_person                # and variants
    python benchmarks/ablation.py runs/dhaa/fgnet_by_person-small* \\
        --against runs/dhaa/fgnet_by_person-small

Reads every run's predictions.csv. The difference is that of the absolute errors on the same
pictures, with the central 95 % of 2,000 bootstrap samples: over people on FG-NET, whose file names
say who is who, over pictures elsewhere.
"""

import argparse
import csv
import re
from pathlib import Path

import numpy as np

from wrinkle.evaluation.uncertainty import compare

Ages = dict[str, tuple[float, float]]
"""Picture → predicted age and true age, in years."""
PERSON = re.compile(r"(?:images/)?(\d{3})A\d{2}[a-z]?\.jpg", re.IGNORECASE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--against", required=True, type=Path)
    args = parser.parse_args()
    base = {name: ages for fold in folds(args.against) for name, ages in fold.items()}
    print(f"| recipe | MAE over folds | over all pictures | minus {args.against}'s, 95 % |")
    print("|---|---:|---:|---:|")
    for run in args.runs:
        parts = folds(run)
        if not parts:
            continue
        every = {name: ages for fold in parts for name, ages in fold.items()}
        means = [error(fold) for fold in parts]
        spread = f" ± {np.std(means, ddof=1):.3f}" if len(means) > 1 else ""
        name = f"{run.parent.name}/{run.name}"
        print(f"| {name} | {np.mean(means):.3f}{spread} of {len(parts)} folds ", end="")
        print(f"| {error(every):.3f} | {difference(every, base)} |")


def folds(run: Path) -> list[Ages]:
    """The finished folds of a run."""
    return [read(file) for file in sorted(run.glob("*/predictions.csv"))]


def read(file: Path) -> Ages:
    with file.open(newline="", encoding="utf-8") as rows:
        return {
            row["name"]: (float(row["predicted"]), float(row["age"]))
            for row in csv.DictReader(rows)
        }


def error(ages: Ages) -> float:
    predicted, actual = np.array(list(ages.values())).T
    return float(np.abs(predicted - actual).mean())


def difference(ages: Ages, base: Ages) -> str:
    names = [name for name in ages if name in base]
    if not names:
        return ""
    matches = [PERSON.fullmatch(name) for name in names]
    people = [match and match[1] for match in matches]
    (predicted, actual), (theirs, _) = (
        np.array([each[name] for name in names]).T for each in (ages, base)
    )
    gap = compare(predicted, theirs, actual, people).difference
    return f"{gap.value:+.2f} ({gap.low:+.2f} … {gap.high:+.2f})"


if __name__ == "__main__":
    main()
