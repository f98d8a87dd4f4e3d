"""Estimate the age of every face in photographs.

Prints a line per face: file, age in years, the 90 % interval, and the position of the face. For a
picture that cannot be read it prints a line on standard error, and continues.
"""

import argparse
import codecs
import csv
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wrinkle.cli.options import at_least
from wrinkle.errors import WrinkleError

if TYPE_CHECKING:
    from wrinkle.faces.files import Found
    from wrinkle.serving.estimator import Face, Prediction

COLUMNS = ["path", "face", "age", "low", "high", "x1", "y1", "x2", "y2", "score", "error"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("pictures", nargs="+", help="files, folders, globs; - reads a list from standard input")
    add("--model", default="default", help="a packaged model's name or a model file")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a JSON object per picture and line")
    form.add_argument("--csv", action="store_true", help="CSV, a row per face")
    add(
        "--at-least",
        type=at_least(0),
        metavar="AGE",
        help="add the probability of this age or more",
    )
    add("--annotate", metavar="DIR", type=Path, help="write pictures with boxes and ages to DIR")
    add("--batch", type=at_least(1), default=32, help="pictures in a batch (default: 32)")
    add("--device", help="cpu, cuda, cuda:1 …; the GPU if there is one by default")
    add("--detector", default="mtcnn", help="mtcnn, dlib or yunet:FILE.onnx (default: mtcnn)")


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from wrinkle.faces.pictures import printable
    from wrinkle.serving.annotate import save_annotated
    from wrinkle.serving.estimator import AgeEstimator

    found = _find(args.pictures)
    pictures, bad = found.files, len(found.faults)
    if not pictures:
        _say_what_was_passed_over(found)
        return 1
    if args.annotate is not None:
        _make_folder(args.annotate)
    estimator = AgeEstimator.load(args.model, args.device, args.detector)
    write = _writer(args)
    progress = tqdm(pictures, unit="picture", disable=not _shows_progress(len(pictures)))
    for prediction in estimator.stream(progress, args.batch):
        if prediction.error is not None:
            bad += 1
            progress.write(f"wrinkle: {prediction.error}", file=sys.stderr)
        elif not prediction.faces:
            name = printable(str(prediction.source))
            progress.write(f"wrinkle: {name}: no face found", file=sys.stderr)
        write(prediction)
        sys.stdout.flush()
        if args.annotate is not None and prediction.faces:
            save_annotated(prediction, args.annotate)
    _say_what_was_passed_over(found)
    return 1 if bad or found.unreadable else 0


def _say_what_was_passed_over(found: "Found") -> None:
    summary = found.summary()
    if summary is not None:
        print(f"wrinkle: {summary}", file=sys.stderr)


def _find(names: list[str]) -> "Found":
    """The pictures named; a line on standard error for each name that stands for none."""
    from wrinkle.faces.files import find_images

    listed = [name for name in names if name != "-"]
    if "-" in names:
        listed += _standard_input()
    if not listed:
        raise WrinkleError("standard input names no picture: give one path per line")
    found = find_images(listed)
    for fault in found.faults:
        print(f"wrinkle: {fault}", file=sys.stderr)
    return found


def _standard_input() -> list[str]:
    """The lines of standard input: names of files, which are bytes and not always UTF-8."""
    data = sys.stdin.buffer.read() if hasattr(sys.stdin, "buffer") else sys.stdin.read().encode()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # by Windows PowerShell
        text = data.decode("utf-16", errors="replace").removeprefix("\ufeff")
    else:
        text = os.fsdecode(data.removeprefix(codecs.BOM_UTF8))
    return [line for line in re.split("\r?\n", text) if line.strip()]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrinkleError(f"cannot write to {folder}: {error.strerror}") from error


def _shows_progress(pictures: int) -> bool:
    # In a terminal the printed results show the progress.
    return pictures > 1 and sys.stderr.isatty() and not sys.stdout.isatty()


def _writer(args: argparse.Namespace) -> Callable[["Prediction"], None]:
    age = args.at_least
    if args.json:
        return lambda p: print(json.dumps(as_dict(p, age)))
    if args.csv:
        columns = COLUMNS if age is None else [*COLUMNS[:5], f"at_least_{age}", *COLUMNS[5:]]
        table = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        table.writeheader()
        return lambda p: table.writerows(_rows(p, age))
    return lambda p: sys.stdout.writelines(f"{line}\n" for line in _lines(p, age))


def _lines(prediction: "Prediction", at_least: int | None) -> Iterator[str]:
    from wrinkle.faces.pictures import printable

    for face in prediction.faces:
        low, high = face.interval
        x1, y1, x2, y2 = face.box
        position = f"{x2 - x1:.0f}×{y2 - y1:.0f} at {x1:.0f},{y1:.0f}"
        name = printable(str(prediction.source))
        chance = "" if at_least is None else f", at least {at_least}: {_percent(face, at_least)}"
        yield f"{name}: {face.age:.0f} years (90 %: {low:.0f}–{high:.0f}){chance}, {position}"


def _percent(face: "Face", age: int) -> str:
    """The probability in percent, but never "0 %" or "100 %", because no age is certain."""
    chance = min(max(100 * face.at_least(age), 0.1), 99.9)
    return f"{chance:.1f} %" if chance < 5 or chance > 95 else f"{chance:.0f} %"


def _rows(prediction: "Prediction", at_least: int | None) -> Iterator[dict[str, object]]:
    path = str(prediction.source)
    if not prediction.faces:
        yield {"path": path, "error": prediction.error or "no face found"}
    for number, face in enumerate(prediction.faces, 1):
        flat = _flat(face, at_least)
        box = dict(zip(("x1", "y1", "x2", "y2"), flat.pop("box"), strict=True))
        flat.pop("key_points")
        yield {"path": path, "face": number, **flat, **box}


def as_dict(prediction: "Prediction", at_least: int | None = None) -> dict[str, Any]:
    """Return what `--json` prints for a picture.

    Args:
        prediction: for the picture.
        at_least: age whose probability is added; None: none.
    """
    faces = [
        {**_flat(face, at_least), "distribution": [round(float(p), 5) for p in face.distribution]}
        for face in prediction.faces
    ]
    return {"path": str(prediction.source), "faces": faces, "error": prediction.error}


def _flat(face: "Face", at_least: int | None) -> dict[str, Any]:
    chance = {} if at_least is None else {f"at_least_{at_least}": round(face.at_least(at_least), 4)}
    return {
        "age": round(face.age, 2),
        "low": round(face.interval[0], 1),
        "high": round(face.interval[1], 1),
        **chance,
        "score": round(face.score, 4),
        "box": [round(float(v), 1) for v in face.box],
        "key_points": [[round(float(v), 1) for v in point] for point in face.key_points],
    }
