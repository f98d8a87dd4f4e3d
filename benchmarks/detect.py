"""Detectors on FG-NET's 1,002 photographs: share with a face, distance to hand-placed eyes.

    python benchmarks/detect.py FGNET --yunet face_detection_yunet.onnx

All detectors get the same decoded photographs in one run, 16 per call. The distance is the mean of
both eyes, divided by the distance between the eyes placed by hand.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from wrinkle.datasets import Row, read_dataset
from wrinkle.datasets.dataset import five_points
from wrinkle.datasets.readers.fgnet import FGNet
from wrinkle.errors import WrinkleError
from wrinkle.faces.decode import decode
from wrinkle.faces.detectors import Detector, create_detector

BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fgnet", type=Path)
    parser.add_argument("--yunet", help="YuNet's model file")
    parser.add_argument("--limit", type=int, help="use about this many photographs, evenly spaced")
    args = parser.parse_args()
    rows, _ = read_dataset("fgnet", args.fgnet)
    rows = rows[:: max(1, len(rows) // (args.limit or len(rows)))]
    names = ["mtcnn", "dlib", *([f"yunet:{args.yunet}"] if args.yunet else [])]
    print(f"{len(rows)} photographs   faces   eyes: median   95 %   ms per photograph")
    for name in names:
        try:
            print(f"{name.partition(':')[0]:<17}", measure(create_detector(name), rows))
        except WrinkleError as error:
            print(f"{name.partition(':')[0]:<17} {error}")


def measure(detect: Detector, rows: list[Row]) -> str:
    """A line of the table."""
    distances, found, seconds = [], 0, 0.0
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        images = [decode(row.path) for row in part]
        if not start:
            detect(images)  # the first call also allocates: not timed
        begin = time.perf_counter()
        faces = detect(images)
        seconds += time.perf_counter() - begin
        found += sum(map(bool, faces))
        pairs = zip(part, faces, strict=True)
        distances += [eye_distance(row, f[0].key_points) for row, f in pairs if f]
    share, middle, high = found / len(rows), np.median(distances), np.percentile(distances, 95)
    return (
        f"{100 * share:7.1f} % {100 * middle:11.1f} % {100 * high:7.1f} %"
        f" {1000 * seconds / len(rows):12.1f}"
    )


def eye_distance(row: Row, key_points: np.ndarray) -> float:
    assert row.landmarks is not None
    placed = five_points(row.landmarks, FGNet.key_points)[:2]
    distance = np.linalg.norm(key_points[:2] - placed, axis=1).mean()
    return float(distance / np.linalg.norm(placed[1] - placed[0]))


if __name__ == "__main__":
    main()
