"""What a video shows as tables: a row per person, a row per face and frame."""

import csv
import json
from pathlib import Path
from typing import Any

from wrinkle.errors import WrinkleError
from wrinkle.serving.prediction import rounded
from wrinkle.serving.video.estimator import FrameFaces, SeenFace

PERSONS = ["path", "person", "age", "low", "high", "first", "last", "frames", "estimates"]
PERSONS += ["independent", "side", "low_resolution", "error"]
"""Columns of the table of persons, without `at_least_AGE`."""
FRAMES = ["path", "frame", "time", "person", "age", "low", "high", "x1", "y1", "x2", "y2", "score"]
"""Columns of the table of frames; a row per face."""
ENDINGS = (".csv", ".jsonl")


class FrameTable:
    """A file with the faces of every frame; each frame is written at once.

    Args:
        path: *.csv: a row per face; *.jsonl: a JSON object per frame and line, also without faces.

    Raises:
        WrinkleError: another ending, or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in ENDINGS:
            raise WrinkleError(
                f"cannot write {path}: its name must end with {' or '.join(ENDINGS)}"
            )
        try:
            self._file = path.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise WrinkleError(f"cannot write {path}: {error.strerror}") from error
        self._csv = None
        if path.suffix.lower() == ".csv":
            self._csv = csv.DictWriter(self._file, FRAMES, lineterminator="\n")
            self._csv.writeheader()

    def write(self, video: str, frame: FrameFaces) -> None:
        """Write the faces of a frame of the video with that name."""
        start = {"path": video, "frame": frame.number, "time": rounded(frame.time, 3)}
        faces = [_face(face) for face in frame.faces]
        if self._csv is None:
            line = json.dumps({**start, "faces": faces}, allow_nan=False)
            self._file.write(f"{line}\n")
            return
        for face in faces:
            box = dict(zip(("x1", "y1", "x2", "y2"), face.pop("box"), strict=True))
            del face["key_points"]
            self._csv.writerow({**start, **face, **box})

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _face(face: SeenFace) -> dict[str, Any]:
    low, high = face.interval
    return {
        "person": face.person,
        "age": rounded(face.age, 2),
        "low": rounded(low, 1),
        "high": rounded(high, 1),
        "score": rounded(face.score, 4),
        "box": rounded(face.box, 1),
        "key_points": rounded(face.key_points, 1),
    }
