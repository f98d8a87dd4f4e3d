"""Dataset → store: find each photograph's face, cut it out, pack it with its labels.

The rows are worked on in parts of `PART` by all cores. A finished part is a file beside the store
that is being made, so a run that was stopped goes on where it was.
"""

import csv
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from tqdm import tqdm

from wrinkle.datasets import DATASETS, read_dataset
from wrinkle.datasets.duplicates import find_duplicates
from wrinkle.datasets.rows import Dropped, Row
from wrinkle.datasets.store import FORMAT, SCHEMA, write_table
from wrinkle.errors import ImageError, WrinkleError
from wrinkle.faces.align import crop_face, transform
from wrinkle.faces.decode import decode
from wrinkle.faces.detection import Detection, Detector, create_detector

PART = 128
"""Photographs per unit of work."""
BATCH = 16
"""Photographs per call of the detector."""
JPEG_QUALITY = 93


@dataclass(frozen=True)
class Prepared:
    """What became of a dataset: `kept` rows in `path`, and the reason for every other picture."""

    path: Path
    kept: int
    by_hand: int
    dropped: list[Dropped]

    def table(self) -> str:
        """A few lines for people: what was kept, what was dropped and why."""
        counts = Counter(entry.reason for entry in self.dropped)
        lines = [f"{self.kept:7,}  packed in {self.path}"]
        if self.by_hand:
            lines.append(f"{self.by_hand:7,}  of them by hand-placed points, no face being found")
        lines += [f"{n:7,}  dropped: {reason}" for reason, n in counts.most_common()]
        examples = [next(d for d in self.dropped if d.reason == reason) for reason in counts]
        lines += [f"         e.g. {d.name}: {d.reason}; {d.detail}".rstrip("; ") for d in examples]
        return "\n".join(lines)

    def write_dropped(self, path: Path) -> None:
        """A CSV of every dropped picture: name, reason, detail."""
        try:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(Dropped._fields)
                writer.writerows(self.dropped)
        except OSError as error:
            raise WrinkleError(f"cannot write {path}: {error.strerror}") from error


def prepare(
    dataset: str,
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    size: int = 256,
    detector: str = "mtcnn",
    workers: int | None = None,
    limit: int | None = None,
) -> Prepared:
    """Pack a dataset.

    Args:
        dataset: a name of `wrinkle.datasets.DATASETS`.
        root: the dataset's folder.
        out: the store to make, by custom `*.arrow`.
        size: side of the face crops in pixels.
        workers: processes; all cores if None.
        limit: only the first so many rows, for a trial.

    Raises:
        WrinkleError: wrong layout, a full disk, parts of another run in the way.
    """
    path = Path(out)
    rows, dropped = read_dataset(dataset, root)
    rows, doubles = find_duplicates(rows)
    rows = rows[:limit]
    plan = {"dataset": dataset, "size": size, "detector": detector, "rows": _fingerprint(rows)}
    parts = path.with_name(path.name + ".parts")
    _claim(parts, plan)
    starts = range(0, len(rows), PART)
    todo = [s for s in starts if not _part(parts, s).exists()]
    job = _Job(parts, size, detector, DATASETS[dataset].five_points)
    _work(job, rows, todo, workers or os.cpu_count() or 1)
    tables = [pa.ipc.open_file(pa.memory_map(str(_part(parts, s)))).read_all() for s in starts]
    for table in tables:
        dropped += [Dropped(*entry) for entry in json.loads(table.schema.metadata[b"wrinkle"])]
    tables = [table.replace_schema_metadata() for table in tables]
    whole = pa.concat_tables(tables or [SCHEMA.empty_table()])
    dropped = sorted([*dropped, *doubles])
    if not len(whole):
        shutil.rmtree(parts)
        reasons = Counter(d.reason for d in dropped).most_common(3)
        raise WrinkleError(f"{root}: no picture could be used: {dict(reasons)}")
    landmarks = "ibug" if detector == "dlib" else dataset
    info = {"format": FORMAT, **plan, "landmarks": landmarks, "dropped": dropped}
    write_table(path, whole, info)
    shutil.rmtree(parts)
    return Prepared(path, len(whole), whole["score"].null_count, dropped)


@dataclass(frozen=True)
class _Job:
    """What a worker needs to know besides its rows."""

    parts: Path
    size: int
    detector: str
    five_points: Callable[[np.ndarray], np.ndarray] | None


def _fingerprint(rows: Sequence[Row]) -> str:
    lines = "\n".join(f"{row.name} {row.age:g}" for row in rows)
    return hashlib.sha256(lines.encode()).hexdigest()


def _part(parts: Path, start: int) -> Path:
    return parts / f"{start:08d}.arrow"


def _claim(parts: Path, plan: dict[str, Any]) -> None:
    """Make the folder of parts, or make sure that what lies there belongs to this run."""
    note = parts / "plan.json"
    try:
        if not note.exists():
            parts.mkdir(parents=True, exist_ok=True)
            note.write_text(json.dumps(plan))
    except OSError as error:
        raise WrinkleError(f"cannot write to {parts}: {error.strerror}") from error
    found = json.loads(note.read_text())
    if found != plan:
        other = ", ".join(key for key in plan if found.get(key) != plan[key])
        raise WrinkleError(f"{parts} belongs to a run with other {other}: delete it to start anew")


def _work(job: _Job, rows: Sequence[Row], todo: Sequence[int], workers: int) -> None:
    """Make the missing parts, showing progress."""
    if not todo:
        return
    context = get_context("spawn")  # the detector's threads do not survive a fork
    workers = min(workers, len(todo))
    done = len(rows) - sum(len(rows[s : s + PART]) for s in todo)
    with (
        ProcessPoolExecutor(workers, context, _start_worker, (job,)) as pool,
        tqdm(total=len(rows), initial=done, unit="face", desc="prepare") as progress,
    ):
        futures = {pool.submit(_make_part, s, rows[s : s + PART]): s for s in todo}
        try:
            for future in as_completed(futures):
                future.result()
                progress.update(len(rows[futures[future] : futures[future] + PART]))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


_job: _Job
_detect: Detector


def _start_worker(job: _Job) -> None:
    import signal

    import torch

    global _job, _detect
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops the work
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _job, _detect = job, create_detector(job.detector)


def _make_part(start: int, rows: Sequence[Row]) -> None:
    """Pack some rows into a file of their own."""
    packed: list[dict[str, Any]] = []
    dropped: list[Dropped] = []
    for first in range(0, len(rows), BATCH):
        readable, images, digests = [], [], []
        for row in rows[first : first + BATCH]:
            try:
                data = row.path.read_bytes()
                images.append(decode(data))
            except (ImageError, OSError) as error:
                dropped.append(Dropped(row.name, "unreadable", str(error)))
                continue
            readable.append(row)
            digests.append(hashlib.sha256(data).hexdigest())
        for row, image, digest, faces in zip(
            readable, images, digests, _detect(images), strict=True
        ):
            face = _choose(row, faces)
            if face is None:
                dropped.append(Dropped(row.name, "no face"))
            else:
                packed.append(_pack(row, image, digest, face))
    table = pa.Table.from_pylist(packed, SCHEMA)
    write_table(_part(_job.parts, start), table, dropped)


def _choose(row: Row, faces: list[Detection]) -> Detection | None:
    """The face that a label speaks of: at the hand-placed points, else the most prominent one.

    Hand-placed points stand in where the detector found nothing, with a score of NaN.
    """
    if row.landmarks is None or _job.five_points is None:
        return faces[0] if faces else None
    placed = _job.five_points(row.landmarks)
    between = np.linalg.norm(placed[1] - placed[0])
    for face in faces:
        if np.linalg.norm(face.key_points[:2] - placed[:2], axis=1).mean() < 0.5 * between:
            return face
    box = np.concatenate([row.landmarks.min(0), row.landmarks.max(0)])
    return Detection(box, float("nan"), placed)


def _pack(row: Row, image: np.ndarray, digest: str, face: Detection) -> dict[str, Any]:
    """A row of the store."""
    crop, matrix = crop_face(image, face.key_points, _job.size)
    _, data = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    landmarks = row.landmarks if row.landmarks is not None else face.landmarks
    return {
        "name": row.name,
        "image": data.tobytes(),
        "key_points": transform(matrix, face.key_points).ravel(),
        "landmarks": None if landmarks is None else transform(matrix, landmarks).ravel(),
        "age": row.age,
        "age_deviation": row.age_deviation,
        "person": row.person,
        "gender": row.gender,
        "group": row.group,
        "source": row.source,
        "digest": digest,
        "score": None if np.isnan(face.score) else face.score,
    }
