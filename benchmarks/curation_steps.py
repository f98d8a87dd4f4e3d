"""The cost of curation's steps: perceptual hashes, and near-duplicates among many.

    python benchmarks/curation_steps.py --store utkface.arrow --most 10000000

Hashes: ours and those of `imagehash.phash` for a store's face crops, from pixels and from JPEG, and
how many differ. Near-duplicates: pairs and groups among increasing numbers of hashes, each size in
a process of its own. The hashes are distributed as in a store, or evenly without one; a few are
near to another one.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from measure import in_turn, peak_memory
from wrinkle.datasets.store import Store
from wrinkle.duplicates.near_duplicates import (
    NEAR,
    near_groups,
    near_pairs,
    perceptual_hash,
    small_grey,
    store_hashes,
)

PICTURES, ROUNDS = 128, 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store")
    parser.add_argument("--most", type=int, default=10_000_000)
    parser.add_argument(
        "--pictures", help="a folder, for the same run alone and on two nodes of Ray"
    )
    parser.add_argument("--count", type=int, default=2000, help="how many of them")
    args = parser.parse_args()
    hashes = None
    if args.store:
        # One thread each; a child reads these before it loads numpy.
        os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
        in_child(compare_hashes, args.store)
        hashes = store_hashes(Store(args.store))
        compare_distances(hashes)
    growth(hashes, args.most)
    if args.pictures:
        spread(args.pictures, args.count)


def in_child(work: Callable, *arguments: object) -> Any:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as child:
        return child.submit(work, *arguments).result()


# (a) Hashes


def compare_hashes(path: str) -> None:
    try:
        import imagehash
    except ImportError:
        print("pip install ImageHash to compare with it")
        return

    def theirs(image: np.ndarray) -> int:
        bits = imagehash.phash(Image.fromarray(image)).hash
        return int.from_bytes(np.packbits(bits).tobytes(), "big")

    def ours(image: np.ndarray) -> int:
        return int(perceptual_hash(small_grey(image)))

    cv2.setNumThreads(1)
    store = Store(path)
    rows = range(min(PICTURES, len(store)))
    images = [store.image(row) for row in rows]
    differ = sum(theirs(image) != ours(image) for image in images)
    print(f"{len(images)} faces of {images[0].shape[0]} pixels, hashes that differ: {differ}\n")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tasks = {
            "from pixels, all at once": (
                lambda: [theirs(image) for image in images],
                lambda: perceptual_hash(np.stack([small_grey(image) for image in images])),
            ),
            "from pixels, one at a time": (
                lambda: [theirs(image) for image in images],
                lambda: [ours(image) for image in images],
            ),
            "from JPEG, all at once": (
                lambda: [theirs(store.image(row)) for row in rows],
                lambda: perceptual_hash(np.stack([small_grey(store.image(row)) for row in rows])),
            ),
            "from pixels, all at once, all cores": (
                lambda: list(pool.map(theirs, images)),
                lambda: perceptual_hash(np.stack(list(pool.map(small_grey, images)))),
            ),
        }
        every = [task for pair in tasks.values() for task in pair]
        times = [seconds / len(images) * 1e6 for seconds in in_turn(every, ROUNDS)]
    print("| hashes | imagehash, µs a face | ours | ratio |\n|---|---:|---:|---:|")
    for name, slow, fast in zip(tasks, times[::2], times[1::2], strict=True):
        print(f"| {name} | {slow:.0f} | {fast:.0f} | {slow / fast:.2f} |", flush=True)


# (b) Near-duplicates


def compare_distances(hashes: np.ndarray) -> None:
    """Compare the distances of hashes drawn by `drawn` with those of the store's hashes."""
    print("\n| bits between two hashes | one pair in 10⁵ | in 10³ | in 10 | half |")
    print("|---|---:|---:|---:|---:|")
    kinds = {"store": hashes, "drawn like it": drawn(20_000, hashes, 0), "even": drawn(20_000)}
    for name, each in kinds.items():
        a, b = np.random.default_rng(1).integers(0, len(each), (2, 4_000_000))
        bits = np.bitwise_count(each[a] ^ each[b])[a != b]
        shown = np.quantile(bits, [1e-5, 1e-3, 0.1, 0.5]).astype(int).tolist()
        print(f"| {name} | {' | '.join(map(str, shown))} |", flush=True)


def growth(like: np.ndarray | None, most: int) -> None:
    print(
        "\n| hashes | drawn | pairs, s | found | groups, s | found | peak memory, MiB | not exact |"
    )
    print("|---:|---|---:|---:|---:|---:|---:|---:|")
    for exponent in range(4, 10):
        for name, source in (("evenly", None), ("like faces", like)):
            if 10**exponent > most or (name == "like faces" and like is None):
                continue
            row = in_child(search, 10**exponent, source)
            print(f"| {10**exponent:,} | {name} | {row}", flush=True)


def search(count: int, like: np.ndarray | None) -> str:
    hashes = drawn(count, like)
    pair_seconds, pairs = timed(lambda: near_pairs(hashes))
    group_seconds, groups = timed(lambda: near_groups(hashes))
    peak = peak_memory()
    row = f"{pair_seconds:.2f} | {len(pairs):,} | {group_seconds:.2f} | "
    row += f"{len(np.unique(groups)):,} | {peak:,.0f} |"
    return row + (f" {not_exact(np.unique(hashes))} |" if count <= 10_000 else " |")


def drawn(count: int, like: np.ndarray | None = None, planted: float = 0.01) -> np.ndarray:
    """Random hashes, some of them a few bits from another one.

    With `like`: one of those hashes, each bit of which is replaced, with probability 1/4, by the
    bit of another one. That keeps the frequency of each bit and most of the bits' correlation.
    """
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, count, np.uint64)
    for start in range(0, count if like is not None else 0, 100_000):
        part = hashes[start : start + 100_000]
        parent = random.choice(like, len(part))
        new = np.zeros_like(part)
        for bit in range(64):
            other = random.choice(like, len(part))
            new |= other & np.uint64(1 << bit)
        anew = part & random.integers(0, 2**64, len(part), np.uint64)
        part[:] = (parent & ~anew) | (new & anew)
    copies = random.choice(count, (2, int(count * planted / 2)), replace=False)
    near = hashes[copies[0]]
    for _ in range(7):  # up to 7 bits, so some no longer are near
        bits = np.uint64(1) << random.integers(0, 64, len(near), np.uint64)
        near ^= bits * random.integers(0, 2, len(near), np.uint64)
    hashes[copies[1]] = near
    return hashes


def not_exact(hashes: np.ndarray) -> int:
    """Pairs of distinct hashes on which `near_pairs` and comparing all with all differ."""
    every = set()
    for start in range(0, len(hashes), 500):
        near = np.bitwise_count(hashes[start : start + 500, None] ^ hashes) < NEAR
        every |= {(a + start, b) for a, b in np.argwhere(near).tolist() if a + start < b}
    return len(every ^ set(map(tuple, near_pairs(hashes).tolist())))


def timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


# (c) A pipeline, on this machine and on Ray

CONFIG = """
workspace: {0}
contact: someone@example.org
collect: {{sources: [{{source: folder, queries: ['{1}'], limit: {2}}}]}}
coarse_label: {{annotators: [{{name: wrinkle}}]}}
"""
TABLES = ("found", "collect", "faces", "deduplicate", "coarse_label", "split")


def spread(pictures: str, count: int) -> None:
    """The same run without a cluster, and on two nodes of a Ray cluster on this machine."""
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory() as folder:
        for name in ("alone", "spread"):
            config = CONFIG.format(name, Path(pictures).absolute(), count)
            (Path(folder) / f"{name}.yaml").write_text(config)
        alone, rows = in_child(curate, f"{folder}/alone.yaml", None)
        cluster = Cluster()
        for _ in range(2):
            cluster.add_node(num_cpus=1, object_store_memory=500_000_000)
        try:
            spread, others = in_child(curate, f"{folder}/spread.yaml", cluster.address)
        finally:
            cluster.shutdown()
    print("\n| stage | alone, s | two nodes of Ray, s |\n|---|---:|---:|")
    for stage in alone:
        print(f"| {stage} | {alone[stage]:.1f} | {spread[stage]:.1f} |")
    for name in TABLES:
        pairs = list(zip(rows[name], others[name], strict=True))
        exact = sum(one == other for (one, _), (other, _) in pairs)
        far = max(np.abs(one - other).max(initial=0) for (_, one), (_, other) in pairs)
        print(f"{name}: {exact:,} of {len(pairs):,} rows the same, numbers to within {far:.1g}")


Row = tuple[str, np.ndarray]
"""The text of all columns without fractions, and the fractions."""


def curate(file: str, address: str | None) -> tuple[dict[str, float], dict[str, list[Row]]]:
    """Seconds of each stage, and the tables without times."""
    from wrinkle.cluster import join
    from wrinkle.curation.config import load_config
    from wrinkle.curation.stages import STAGES
    from wrinkle.curation.stages.context import StageContext
    from wrinkle.curation.stages.pipeline import run_stages
    from wrinkle.curation.workspace import Workspace

    config = load_config(file)
    workspace = Workspace(config.workspace)
    if address is not None:
        workspace.machines = join(address)
    seconds = {}
    for stage in STAGES:
        began = time.perf_counter()
        run_stages(StageContext(workspace, config), [stage])
        seconds[stage] = time.perf_counter() - began
    tables = {}
    for name in TABLES:
        table = workspace.table(name)
        left_out = [c for c in table.column_names if c.endswith("_at") or c == "by"]
        rows = table.drop_columns(left_out).to_pylist()
        tables[name] = sorted(map(parted, rows), key=lambda row: row[0])
    return seconds, tables


def parted(row: dict[str, Any]) -> Row:
    words = {key: value for key, value in row.items() if not isinstance(value, float | list)}
    return str(words), np.hstack([row[key] for key in row if key not in words] or [0.0])


if __name__ == "__main__":
    main()
