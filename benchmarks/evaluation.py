"""Time of scores with their uncertainty, and of finding near-identical pictures.

    python benchmarks/evaluation.py --store utkface.arrow

Scores: `wrinkle evaluate`'s table of simulated predictions, over all faces, decades, genders and
groups, with 2,000 bootstrap samples; every face its own person, then five faces per person.
Pairs: all pairs of hashes that differ in fewer than 6 bits, among random hashes with some similar
ones, and for up to 100,000 hashes the time of comparing all with all and how many pairs differ.
Store: the hashes of its faces.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from wrinkle.datasets.store import Store
from wrinkle.duplicates.near_duplicates import NEAR, near_pairs, store_hashes
from wrinkle.evaluation.predictions import Predictions
from wrinkle.evaluation.scores import score_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--hashes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--store")
    args = parser.parse_args()
    for each in (1, 5):
        seconds, _ = timed(lambda each=each: score_table(simulated(args.faces, each)))
        print(f"scores of {args.faces:,} faces, {each} per person: {seconds:.1f} s", flush=True)
    if args.store:
        store = Store(args.store)
        seconds, _ = timed(lambda: store_hashes(store))
        print(f"hashes of {len(store):,} faces: {seconds:.1f} s")
    print(
        "\n| hashes | near pairs | s | all with all, s | other pairs |\n|---:|---:|---:|---:|---:|"
    )
    for count in args.hashes:
        hashes = planted(count)
        seconds, pairs = timed(lambda hashes=hashes: near_pairs(hashes))
        row = f"| {count:,} | {len(pairs):,} | {seconds:.2f} "
        if count <= 100_000:
            slow, every = timed(lambda hashes=hashes: brute(hashes))
            other = set(map(tuple, pairs.tolist())) ^ set(map(tuple, every.tolist()))
            row += f"| {slow:.1f} | {len(other)} |"
        print(row if row.endswith("|") else f"{row}| | |", flush=True)


def simulated(count: int, faces_each: int) -> Predictions:
    random = np.random.default_rng(0)
    ages = random.integers(0, 90, count).astype(float)
    predicted = ages + random.normal(0, 5, count)
    people = [str(n // faces_each) for n in range(count)] if faces_each > 1 else [None] * count
    columns = {
        "name": [str(n) for n in range(count)],
        "age": ages,
        "age_deviation": pa.nulls(count, pa.float32()),
        "person": pa.array(people, pa.string()),
        "gender": random.choice(["female", "male"], count).tolist(),
        "group": random.choice(list("ABCDE"), count).tolist(),
        "source": ["simulated"] * count,
    }
    interval = np.stack([predicted - 8, predicted + 8], 1)
    return Predictions("simulated", pa.table(columns), predicted, interval)


def planted(count: int) -> np.ndarray:
    """Distinct random hashes; one in a hundred differs from another one in a few bits."""
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, count, np.uint64)
    for row in range(0, count, 100):
        bits = random.choice(64, random.integers(1, 9), replace=False).astype(np.uint64)
        hashes[row] = hashes[row + 1] ^ np.bitwise_or.reduce(np.uint64(1) << bits)
    return hashes


def brute(hashes: np.ndarray) -> np.ndarray:
    found = []
    for start in range(0, len(hashes), 500):
        near = np.bitwise_count(hashes[start : start + 500, None] ^ hashes) < NEAR
        pairs = np.argwhere(near) + np.array([start, 0])
        found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return np.concatenate(found)


def timed(work: Callable) -> tuple:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


if __name__ == "__main__":
    main()
