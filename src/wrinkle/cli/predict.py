"""Estimate the age of every face in photographs, or of every person in videos.

Prints a line per face: file, age in years, the 90 % interval, and the width, height, left and top
of its box in pixels of the upright picture. For a picture that cannot be read it prints a line on
standard error, and continues. For a video or a camera it prints a line per person.
"""

import argparse
import codecs
import csv
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from wrinkle.cli.options import at_least, some_path
from wrinkle.errors import WrinkleError

if TYPE_CHECKING:
    from wrinkle.faces.files import Found
    from wrinkle.serving.prediction import Prediction

COLUMNS = ["path", "face", "age", "low", "high", "x1", "y1", "x2", "y2", "score"]
COLUMNS += ["low_resolution", "rotation", "error"]
"""Of --csv: years, then the box in pixels of the upright picture, from its upper left corner."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "pictures",
        nargs="*",
        help="files, folders, globs; - reads a list from standard input; or videos",
    )
    add("--camera", type=at_least(0), metavar="N", help="a camera, 0 for the first; ends on Ctrl-C")
    add(
        "--frames",
        metavar="FILE",
        type=some_path,
        help="of videos: the faces of each frame, CSV or JSONL",
    )
    table = parser.add_argument_group("tables", "one Parquet or CSV file instead of pictures")
    table.add_argument("--out", metavar="DIR", type=some_path, help="a folder for Parquet files")
    table.add_argument("--column", help="of the paths or addresses (default: path)")
    table.add_argument("--rows", type=at_least(1), help="of a part (default: 4000)")
    table.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster: ray://HOST:10001, or auto")
    add(
        "--model",
        default="default",
        help="a packaged model's name, a model file or an exported one",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a JSON object per picture and line")
    form.add_argument(
        "--csv",
        action="store_true",
        help="CSV, a row per face",
    )
    add("--distribution", action="store_true", help="with --json: the probability of each age")
    add(
        "--at-least",
        type=at_least(0),
        metavar="AGE",
        help="add the probability of this age or more",
    )
    add(
        "--annotate",
        metavar="DIR",
        type=some_path,
        help="write pictures, or videos, with boxes and ages to DIR",
    )
    add("--batch", type=at_least(1), default=32, help="pictures in a batch (default: 32)")
    add("--min-face", type=float, metavar="PIXELS", help="smallest face (default: 20)")
    add("--min-score", type=float, metavar="SCORE", help="smallest score (default: 0.9)")
    add("--largest", action="store_true", help="only the most prominent face of each picture")
    add("--device", help="cpu, cuda, cuda:1 …; the GPU if there is one by default")
    add("--detector", default="mtcnn", help="mtcnn, dlib or yunet:FILE.onnx (default: mtcnn)")


def run(args: argparse.Namespace) -> int:
    from wrinkle.cli.predict_table import run_table, table_among
    from wrinkle.cli.predict_video import run_videos, videos_among
    from wrinkle.console import complain, note, progress
    from wrinkle.faces.pictures import printable
    from wrinkle.serving.annotate import save_annotated
    from wrinkle.serving.estimator import AgeEstimator

    if args.distribution and not args.json:
        raise WrinkleError("--distribution is for --json: give both")
    if not args.pictures and args.camera is None:
        raise WrinkleError("nothing to predict: name pictures, folders or videos, or a --camera")
    table = table_among(args.pictures)
    if table is not None:
        return run_table(args, table)
    for option in ("out", "column", "rows", "ray"):
        if getattr(args, option) is not None:
            raise WrinkleError(f"--{option} is for tables: name a Parquet or CSV file")
    videos = videos_among(args.pictures)
    if videos or args.camera is not None:
        if args.pictures and args.camera is not None:
            raise WrinkleError("give either --camera or files")
        if args.annotate is not None:
            _make_folder(args.annotate)
        return run_videos(args, videos)
    if args.frames is not None:
        raise WrinkleError("--frames is for videos: name one, or a --camera")
    found = _find(args.pictures)
    pictures = found.files
    if not pictures:
        _say_what_was_passed_over(found)
        return 1
    if args.annotate is not None:
        _make_folder(args.annotate)
    estimator = AgeEstimator.load(
        args.model, args.device, args.detector, args.min_face, args.min_score, args.largest
    )
    write = _writer(args)
    done = Counter[str](nothing=len(found.faults))
    # In a terminal the printed results show the progress.
    shown = len(pictures) > 1 and not sys.stdout.isatty()
    bar = progress(pictures, "predict", "picture", shown=shown)
    for prediction in estimator.stream(bar, args.batch):
        done["pictures"] += 1
        done["faces"] += len(prediction.faces)
        if prediction.error is not None:
            done["bad"] += 1
            complain(prediction.error)
        elif not prediction.faces:
            done["empty"] += 1
            note(f"{printable(str(prediction.source))}: no face found")
        write(prediction)
        sys.stdout.flush()
        if args.annotate is not None and prediction.faces:
            save_annotated(prediction, args.annotate)
            done["annotated"] += 1
    _say_what_was_passed_over(found)
    _summarise(done, args.annotate)
    return 1 if done["bad"] or done["nothing"] or found.unreadable else 0


def _say_what_was_passed_over(found: "Found") -> None:
    from wrinkle.console import complain, note

    summary = found.summary()
    if summary is not None:
        (complain if found.unreadable else note)(summary)


def _summarise(done: Counter[str], annotated: Path | None) -> None:
    """Write what was done as the last line on standard error."""
    from wrinkle.console import count, say

    parts = [count(done["pictures"], "picture"), count(done["faces"], "face")]
    if done["empty"]:
        parts.append(f"{count(done['empty'], 'picture')} without a face")
    if done["bad"]:
        parts.append(f"{count(done['bad'], 'picture')} could not be used")
    if done["nothing"]:
        parts.append(f"{count(done['nothing'], 'argument')} without a picture")
    if done["annotated"]:
        parts.append(f"{count(done['annotated'], 'annotated picture')} in {annotated}")
    if done["pictures"] + done["nothing"] > 1 or done["annotated"]:
        say(", ".join(parts))


def _find(names: list[str]) -> "Found":
    """The named pictures; an error is printed for each name without one."""
    from wrinkle.console import complain
    from wrinkle.faces.files import find_images

    listed = [name for name in names if name != "-"]
    if "-" in names:
        listed += _standard_input()
    if not listed:
        raise WrinkleError("standard input names no picture: give one path per line")
    found = find_images(listed)
    for fault in found.faults:
        complain(fault)
    return found


def _standard_input() -> list[str]:
    """The lines of standard input: names of files, which are bytes and not always UTF-8."""
    from wrinkle.faces.signatures import is_picture

    data = sys.stdin.buffer.read() if hasattr(sys.stdin, "buffer") else sys.stdin.read().encode()
    if is_picture(data[:32]):
        raise WrinkleError("standard input is a picture: it must be a list of names, one per line")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # by Windows PowerShell
        text = data.decode("utf-16", errors="replace").removeprefix("\ufeff")
    else:
        text = os.fsdecode(data.removeprefix(codecs.BOM_UTF8))
    if "\0" in text:
        raise WrinkleError(
            "standard input has zero bytes: it must be a list of names, one per line"
        )
    return [line for line in re.split("\r?\n", text) if line.strip()]


def _make_folder(folder: Path) -> None:
    if folder.is_file():
        raise WrinkleError(f"cannot write to {folder}: it is a file, give a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrinkleError(f"cannot write to {folder}: {error.strerror}") from error


def _writer(args: argparse.Namespace) -> Callable[["Prediction"], None]:
    age = args.at_least
    if args.json:
        return lambda p: print(p.to_json(age, args.distribution))
    if args.csv:
        columns = COLUMNS if age is None else [*COLUMNS[:5], f"at_least_{age}", *COLUMNS[5:]]
        table = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        table.writeheader()
        return lambda p: table.writerows(_rows(p, age))
    return lambda p: sys.stdout.writelines(f"{line}\n" for line in _lines(p, age))


def _lines(prediction: "Prediction", at_least: int | None) -> Iterator[str]:
    from wrinkle.console import percent
    from wrinkle.faces.pictures import printable

    for face in prediction.faces:
        low, high = face.interval
        x1, y1, x2, y2 = face.box
        position = f"{x2 - x1:.0f}×{y2 - y1:.0f} at {x1:.0f},{y1:.0f}"
        if face.low_resolution:
            position += ", low resolution"
        if prediction.rotation:
            position += f", picture turned by {prediction.rotation}°"
        name = printable(str(prediction.source))
        chance = ""
        if at_least is not None:
            chance = f", at least {at_least}: {percent(face.at_least(at_least))}"
        yield f"{name}: {face.age:.0f} years (90 %: {low:.0f}–{high:.0f}){chance}, {position}"


def _rows(prediction: "Prediction", at_least: int | None) -> Iterator[dict[str, object]]:
    path = str(prediction.source)
    if not prediction.faces:
        yield {"path": path, "error": prediction.error or "no face found"}
    for number, face in enumerate(prediction.faces, 1):
        flat = face.to_dict(at_least)
        box = dict(zip(("x1", "y1", "x2", "y2"), flat.pop("box"), strict=True))
        del flat["key_points"]
        yield {"path": path, "face": number, **flat, **box, "rotation": prediction.rotation}
