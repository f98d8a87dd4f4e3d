"""Group pictures: faces found and processor time of the detector.

    python benchmarks/groups.py UTKFACE

A picture is 20 of UTKFace's crops in four rows on grey, 36 to 200 pixels each (a face has about
two thirds of it), on at least 600 × 800 pixels. An extra detection is one beside a crop's first
face, or of another size than a crop's face. One thread. Each table of old and new code takes its
own run; take turns and compare the medians.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from wrinkle.faces.decode import decode
from wrinkle.faces.detectors import Detection, create_detector

SIDES = (36, 50, 70, 100, 140, 200)
ROWS, COLUMNS, BORDER = 4, 5, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("utkface", type=Path)
    parser.add_argument("--pictures", type=int, default=10, help="of each size")
    parser.add_argument("--detector", default="mtcnn")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    paths = sorted(args.utkface.rglob("*.jpg"))
    np.random.default_rng(5).shuffle(paths)  # type: ignore[arg-type]
    detector = create_detector(args.detector)
    print(f"{'crop, pixels':<14}{'faces':>8}{'found':>8}{'extra':>8}{'CPU ms a picture':>20}")
    for side in SIDES:
        found = extra = 0
        used = 0.0
        for number in range(args.pictures):
            chosen = paths[number * ROWS * COLUMNS : (number + 1) * ROWS * COLUMNS]
            picture = group([decode(path) for path in chosen], side)
            start = time.process_time()
            (faces,) = detector([picture])
            used += time.process_time() - start
            cells = {cell for face in faces if (cell := cell_of(face, side))}
            found, extra = found + len(cells), extra + len(faces) - len(cells)
        total = args.pictures * ROWS * COLUMNS
        print(f"{side:<14}{total:>8}{found:>8}{extra:>8}{1000 * used / args.pictures:>20.0f}")


def group(crops: list[np.ndarray], side: int) -> np.ndarray:
    """Crops as one picture (H, W, 3) uint8."""
    small = [cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA) for crop in crops]
    rows = [np.hstack(small[i * COLUMNS : (i + 1) * COLUMNS]) for i in range(ROWS)]
    height, width = ROWS * side + 2 * BORDER, COLUMNS * side + 2 * BORDER
    picture = np.full((max(height, 600), max(width, 800), 3), 128, np.uint8)
    picture[BORDER : height - BORDER, BORDER : width - BORDER] = np.vstack(rows)
    return picture


def cell_of(face: Detection, side: int) -> tuple[int, int] | None:
    """Column and row of the crop whose face this is."""
    column, row = ((face.key_points.mean(0) - BORDER) // side).astype(int).tolist()
    inside = 0 <= column < COLUMNS and 0 <= row < ROWS
    return (column, row) if inside and 0.3 * side <= face.side <= 1.2 * side else None


if __name__ == "__main__":
    main()
