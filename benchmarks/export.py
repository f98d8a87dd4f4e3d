"""Exported models: size, change of ages, and CPU milliseconds a face, on every engine.

    python benchmarks/export.py utkface.arrow --limit 400 default dhaa adpf

As `wrinkle bench`, but in CPU time of one thread, so that a machine that does other work too gives
the same figures. Errors are on UTKFace's test part, the ranges of int8 from its other faces.
"""

import argparse
import os
import time

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import numpy as np

from wrinkle.inference.graph_inputs import bench_inputs
from wrinkle.models.file import load_model
from wrinkle.models.packaged import model_file
from wrinkle.serving.bench import bench

HEAD = "| model | engine | precision | MiB | ms at 1 | ms at 16 | mean change | largest | MAE |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store", help="UTKFace, made by `wrinkle prepare`")
    parser.add_argument("models", nargs="+", help="packaged models or model files")
    parser.add_argument("--limit", type=int, default=400, help="faces (default: 400)")
    args = parser.parse_args()
    print(f"{HEAD}\n|---|---|---|---:|---:|---:|---:|---:|---:|")
    for model in args.models:
        path = model_file(model)
        choice = args.store, args.limit, "test", "utkface"
        faces, ranges, actual = bench_inputs(load_model(path)[1], *choice)
        found = bench(path, [1, 16], faces, ranges, rounds=5, clock=time.process_time)
        for each in found:
            change = np.abs(each.ages - found[0].ages)
            print(
                f"| {model} | {each.engine} | {each.precision} | {each.size:.1f} "
                f"| {each.milliseconds[1]:.1f} | {each.milliseconds[16]:.1f} "
                f"| {change.mean():.3f} | {change.max():.3f} "
                f"| {np.abs(each.ages - actual).mean():.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
