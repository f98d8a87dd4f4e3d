"""`wrinkle predict` for videos and cameras."""

import argparse
import csv
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wrinkle.errors import WrinkleError

if TYPE_CHECKING:
    from wrinkle.serving.estimator import AgeEstimator
    from wrinkle.serving.video.evidence import Person
    from wrinkle.serving.video.frames import Camera, VideoFile
    from wrinkle.serving.video.tables import FrameTable


def videos_among(names: list[str]) -> list[Path]:
    """The files that are named, if all of them are videos, else none.

    A video among pictures counts as a picture, of which the decoder says what it is.
    """
    from wrinkle.serving.video.frames import is_video_file

    paths = [Path(name) for name in names]
    return paths if all(is_video_file(path) for path in paths) else []


def run_videos(args: argparse.Namespace, videos: list[Path]) -> int:
    """Estimate the ages of the persons of videos, or of a camera if there are none."""
    from wrinkle.console import complain
    from wrinkle.serving.estimator import AgeEstimator
    from wrinkle.serving.video.frames import Camera, VideoFile
    from wrinkle.serving.video.tables import FrameTable

    bad = 0
    with ExitStack() as stack:
        camera = None if args.camera is None else stack.enter_context(closing(Camera(args.camera)))
        table = (
            None if args.frames is None else stack.enter_context(closing(FrameTable(args.frames)))
        )
        estimator = AgeEstimator.load(
            args.model, args.device, args.detector, args.min_face, args.min_score, args.largest
        )
        write = _writer(args)
        if camera is not None:
            return int(not _predict(args, estimator, camera, camera.name, table, write))
        for path in videos:
            try:
                source = VideoFile(path)
            except WrinkleError as error:
                bad += 1
                complain(error)
                write({"path": str(path), "error": str(error)}, [])
            else:
                bad += not _predict(args, estimator, source, str(path), table, write)
    return 1 if bad else 0


def _predict(
    args: argparse.Namespace,
    estimator: "AgeEstimator",
    source: "VideoFile | Camera",
    name: str,
    table: "FrameTable | None",
    write: Callable[[dict[str, Any], list["Person"]], None],
) -> bool:
    """One video, up to its end or Ctrl-C; returns whether it was intact."""
    from wrinkle.console import complain, count, progress, say
    from wrinkle.serving.annotate import new_file
    from wrinkle.serving.video.annotated import AnnotatedVideo
    from wrinkle.serving.video.estimator import VideoEstimator

    video, stopped = VideoEstimator(estimator), False
    about: dict[str, Any] = {"path": name, "width": source.width, "height": source.height}
    about |= {"frames": 0, "seconds": 0.0}
    with ExitStack() as stack:
        stack.callback(source.close)
        drawn = None
        if args.annotate is not None:
            path = new_file(args.annotate, Path(name).stem, ".mp4")
            drawn = stack.enter_context(
                closing(AnnotatedVideo(path, source.width, source.height, source.rate))
            )
        bar = stack.enter_context(progress(what="predict", unit="frame", total=source.expected))
        try:
            for frame in video.stream(source):
                with _ctrl_c_delayed():
                    about |= {"frames": frame.number + 1, "seconds": round(frame.time, 3)}
                    if table is not None:
                        table.write(name, frame)
                    if drawn is not None:
                        drawn.write(frame)
                    bar.update()
        except KeyboardInterrupt:
            stopped = True
    if source.fault is not None:
        complain(source.fault)
    persons = video.persons()
    write({**about, "error": source.fault}, persons)
    line = f"{count(about['frames'], 'frame')}, {count(len(persons), 'person')}"
    say(line + (f", annotated video {drawn.path}" if drawn is not None else ""))
    if stopped:
        raise KeyboardInterrupt(
            f"stopped after {about['seconds']:.1f} s of the video: what was done is kept"
        )
    return source.fault is None


@contextmanager
def _ctrl_c_delayed() -> Iterator[None]:
    """Let Ctrl-C take effect after the block: a frame is written to all files or to none."""
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        signal.raise_signal(received[0])


def _writer(args: argparse.Namespace) -> Callable[[dict[str, Any], list["Person"]], None]:
    from wrinkle.serving.video.tables import PERSONS

    age = args.at_least
    if args.json:

        def as_json(about: dict[str, Any], persons: list["Person"]) -> None:
            found = [person.to_dict(age, args.distribution) for person in persons]
            error = about.pop("error")
            print(json.dumps({**about, "persons": found, "error": error}, allow_nan=False))

        return as_json
    if args.csv:
        columns = PERSONS if age is None else [*PERSONS[:5], f"at_least_{age}", *PERSONS[5:]]
        table = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        table.writeheader()
        return lambda about, persons: table.writerows(_rows(about, persons, age))
    return lambda about, persons: sys.stdout.writelines(
        f"{line}\n" for line in _lines(about, persons, age)
    )


def _rows(
    about: dict[str, Any], persons: list["Person"], age: int | None
) -> Iterator[dict[str, Any]]:
    error = about["error"]
    if not persons:
        yield {"path": about["path"], "error": error or "no person found"}
    for person in persons:
        yield {"path": about["path"], **person.to_dict(age), "error": error}


def _lines(about: dict[str, Any], persons: list["Person"], age: int | None) -> Iterator[str]:
    from wrinkle.console import count, percent
    from wrinkle.faces.pictures import printable

    for person in persons:
        low, high = person.interval
        chance = "" if age is None else f", at least {age}: {percent(person.at_least(age))}"
        small = ", low resolution" if person.low_resolution else ""
        yield (
            f"{printable(about['path'])}, person {person.number}: {person.age:.0f} years "
            f"(90 %: {low:.0f}–{high:.0f}){chance}, {clock(person.first)}–{clock(person.last)}, "
            f"in {count(person.frames, 'frame')}{small}"
        )


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, such as 2:05.4; from an hour on, 1:02:05.4."""
    tenths = round(10 * seconds)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    end = f"{rest / 10:04.1f}"
    return f"{hours}:{minutes:02}:{end}" if hours else f"{minutes}:{end}"
