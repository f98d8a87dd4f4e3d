"""Dataset → store: find each photograph's face, cut it out, pack it with its labels.

The rows are worked on in parts of `PART` by all cores. A finished part is a file beside the store
that is being made, so a run that was stopped goes on where it was.
"""

import csv
import hashlib
import json
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from tqdm import tqdm

from wrinkle.datasets import DATASETS, read_dataset
from wrinkle.datasets.rows import Dropped, Row
from wrinkle.datasets.same_files import find_duplicates
from wrinkle.datasets.store import FORMAT, SCHEMA, write_table
from wrinkle.errors import ImageError, WrinkleError
from wrinkle.faces.align import crop_face, transform
from wrinkle.faces.decode import decode
from wrinkle.faces.detectors import Detection, Detector, create_detector

PART = 128
"""Photographs per unit of work."""
BATCH = 16
"""Photographs per call of the detector, or fewer of large ones."""
BATCH_BYTES = 150_000_000
"""Decoded photographs of a call of the detector, all but the last."""
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
        WrinkleError: wrong layout, a full disk, parts of another run in the way, a dead worker.
    """
    path = Path(out)
    if path.is_dir():
        raise WrinkleError(f"{path} is a folder: name the file to make, {path / dataset}.arrow say")
    rows, dropped = read_dataset(dataset, root)
    rows, doubles = find_duplicates(rows)
    rows = rows[:limit]
    plan = {"dataset": dataset, "size": size, "detector": detector, "rows": _fingerprint(rows)}
    plan = {"format": FORMAT, **plan}
    parts = path.with_name(path.name + ".parts")
    _claim(parts, plan)
    five_points = DATASETS[dataset].five_points
    starts = range(0, len(rows), PART)
    todo = [s for s in starts if not _part(parts, s).exists()]
    _work(_Job(parts, size, detector, five_points), rows, todo, workers or os.cpu_count() or 1)
    tables = [SCHEMA.empty_table()]
    for start in starts:
        table, left_out = _read_part(_part(parts, start))
        tables.append(table)
        dropped += left_out
    whole = pa.concat_tables(tables)
    dropped = sorted([*dropped, *doubles])
    if not len(whole):
        shutil.rmtree(parts)
        reasons = Counter(d.reason for d in dropped).most_common(3)
        raise WrinkleError(f"{root}: no picture could be used: {dict(reasons)}")
    info = {**plan, "landmarks": dataset if five_points else "ibug", "dropped": dropped}
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
    """A digest of all that a store takes over from the rows."""
    digest = hashlib.sha256()
    for row in rows:
        labels = row.name, row.age, row.age_deviation, row.person, row.gender, row.group
        digest.update(repr(labels).encode())
        digest.update(b"" if row.landmarks is None else row.landmarks.tobytes())
    return digest.hexdigest()


def _part(parts: Path, start: int) -> Path:
    return parts / f"{start:08d}.arrow"


def _read_part(path: Path) -> tuple[pa.Table, list[Dropped]]:
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        dropped = [Dropped(*entry) for entry in json.loads(table.schema.metadata[b"wrinkle"])]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise WrinkleError(f"{path} is damaged: delete it and run again") from error
    return table.replace_schema_metadata(), dropped


def _claim(parts: Path, plan: dict[str, Any]) -> None:
    """Make the folder of parts, or make sure that the parts which lie there belong to this run."""
    note = parts / "plan.json"
    try:
        parts.mkdir(parents=True, exist_ok=True)
        if any(parts.glob("*.arrow")):
            found = json.loads(note.read_text()) if note.exists() else {}
            if found != plan:
                other = ", ".join(key for key in plan if found.get(key) != plan[key])
                raise WrinkleError(
                    f"{parts} belongs to a run with other {other}: delete it to start anew"
                )
        scratch = note.with_suffix(".tmp")
        scratch.write_text(json.dumps(plan))
        os.replace(scratch, note)
    except OSError as error:
        raise WrinkleError(f"cannot write to {parts}: {error.strerror}") from error


def _work(job: _Job, rows: Sequence[Row], todo: Sequence[int], workers: int) -> None:
    """Make the missing parts, showing progress."""
    if not todo:
        return
    context = get_context("spawn")  # the detector's threads do not survive a fork
    workers = min(workers, len(todo))
    done = len(rows) - sum(len(rows[s : s + PART]) for s in todo)
    with (
        ProcessPoolExecutor(workers, context, _start_worker) as pool,
        tqdm(total=len(rows), initial=done, unit="face", desc="prepare") as progress,
    ):
        try:
            with _ctrl_c_waits():
                futures = {pool.submit(_make_part, job, s, rows[s : s + PART]): s for s in todo}
            for future in as_completed(futures):
                future.result()
                progress.update(len(rows[futures[future] : futures[future] + PART]))
        except BrokenProcessPool as error:
            raise WrinkleError(
                "a worker process died, for lack of memory perhaps; what is done stays: "
                "run again, with fewer workers"
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Hold Ctrl-C back; processes that start meanwhile never hear of it: the parent stops them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Without this, the workers of a killed run would go on, beside those of the next one."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@cache
def _detector(name: str) -> Detector:
    return create_detector(name)


@dataclass(frozen=True, slots=True)
class _Photograph:
    """A row's photograph, (H, W, 3) uint8 RGB, and the SHA-256 of its file."""

    row: Row
    image: np.ndarray
    digest: str


def _make_part(job: _Job, start: int, rows: Sequence[Row]) -> None:
    """Pack some rows into a file of their own."""
    packed: list[dict[str, Any]] = []
    dropped: list[Dropped] = []
    for batch in _batches(rows, dropped):
        found = _detector(job.detector)([photograph.image for photograph in batch])
        for photograph, faces in zip(batch, found, strict=True):
            try:
                packed.append(_pack(job, photograph, _choose(job, photograph, faces)))
            except ImageError as error:
                dropped.append(Dropped(photograph.row.name, "no face", str(error)))
    table = pa.Table.from_pylist(packed, SCHEMA)
    write_table(_part(job.parts, start), table, dropped)


def _batches(rows: Sequence[Row], dropped: list[Dropped]) -> Iterator[list[_Photograph]]:
    """Read photographs, as many at a time as memory bears; what cannot be read is `dropped`."""
    batch: list[_Photograph] = []
    for row in rows:
        try:
            data = row.path.read_bytes()
            image = decode(data)
        except ImageError as error:
            _, _, reason = str(error).partition(": ")  # in front of it: "the picture …"
            dropped.append(Dropped(row.name, "unreadable", reason))
        except OSError as error:
            dropped.append(Dropped(row.name, "unreadable", error.strerror or str(error)))
        else:
            batch.append(_Photograph(row, image, hashlib.sha256(data).hexdigest()))
        if len(batch) == BATCH or sum(p.image.nbytes for p in batch) > BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def _choose(job: _Job, photograph: _Photograph, faces: list[Detection]) -> Detection:
    """The face that a label speaks of: at the hand-placed points, else the most prominent one.

    Hand-placed points stand in where the detector found nothing, with a score of NaN.

    Raises:
        ImageError: there is none.
    """
    landmarks = photograph.row.landmarks
    if landmarks is None or job.five_points is None:
        if not faces:
            raise ImageError("")
        return faces[0]
    placed = job.five_points(landmarks)
    between = np.linalg.norm(placed[1] - placed[0])
    for face in faces:
        if np.linalg.norm(face.key_points[:2] - placed[:2], axis=1).mean() < 0.5 * between:
            return face
    height, width = photograph.image.shape[:2]
    if not ((placed >= 0) & (placed <= [width, height])).all():
        raise ImageError("the hand-placed points lie beyond the picture")
    box = np.concatenate([landmarks.min(0), landmarks.max(0)])
    return Detection(box, float("nan"), placed)


def _pack(job: _Job, photograph: _Photograph, face: Detection) -> dict[str, Any]:
    """A row of the store."""
    row = photograph.row
    crop, matrix = crop_face(photograph.image, face.key_points, job.size)
    _, data = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    landmarks = row.landmarks if job.five_points else face.landmarks
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
        "digest": photograph.digest,
        "score": None if np.isnan(face.score) else face.score,
    }
