"""Dataset → store: detect each photograph's face, crop it, pack it with its labels.

All cores work on parts of `PART` rows. A finished part is a file in a folder beside the store, so a
run that was stopped continues where it was.
"""

import csv
import hashlib
import io
import json
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from wrinkle.console import progress
from wrinkle.cores import usable_cores
from wrinkle.datasets.dataset import DATASETS, read_dataset
from wrinkle.datasets.pack import Job, make_part, part_path, read_part, share_counts
from wrinkle.datasets.rows import Dropped, Row
from wrinkle.datasets.same_files import find_duplicates
from wrinkle.datasets.store import FORMAT, SCHEMA, is_store, write_table
from wrinkle.errors import WrinkleError
from wrinkle.files import check_output, replace_file
from wrinkle.registry import load_plugins

PART = 128
"""Photographs per unit of work."""
SIZES = (32, 2048)
"""Smallest and largest side of the face crops in pixels."""


@dataclass(frozen=True)
class Prepared:
    """The result of `prepare`.

    Attributes:
        path: the store.
        kept: its number of rows.
        by_hand: how many of them have hand-placed key points, because no face was detected there.
        dropped: every other picture, with the reason.
        unread: optional labels of the packed pictures that were not understood, with the reason.
    """

    path: Path
    kept: int
    by_hand: int
    dropped: list[Dropped]
    unread: list[Dropped]

    def table(self) -> str:
        """A few lines for people: what was kept, what was dropped and why."""
        lines = [f"{self.kept:7,}  packed in {self.path}"]
        if self.by_hand:
            lines.append(
                f"{self.by_hand:7,}  of them with hand-placed points: no face was detected"
            )
        examples = []
        for entries, what in (
            (self.dropped, "dropped"),
            (self.unread, "of them without a label that was not understood"),
        ):
            counts = Counter(entry.reason for entry in entries)
            lines += [f"{n:7,}  {what}: {reason}" for reason, n in counts.most_common()]
            examples += [next(d for d in entries if d.reason == reason) for reason in counts]
        lines += [f"         e.g. {d.name}: {d.reason}; {d.detail}".rstrip("; ") for d in examples]
        return "\n".join(lines)

    def write_dropped(self, path: Path) -> None:
        """Write a CSV file of every dropped picture and label: name, reason, detail.

        Raises:
            WrinkleError: it is a file of another kind, or cannot be written.
        """
        check_dropped(path)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(Dropped._fields)
        writer.writerows([*self.dropped, *self.unread])
        replace_file(path, text.getvalue().encode())


def check_dropped(path: Path) -> None:
    """Check that `Prepared.write_dropped` would destroy no file of another kind.

    Raises:
        WrinkleError: it would.
    """
    header = ",".join(Dropped._fields).encode()
    check_output(path, "a list of dropped pictures", lambda head: head.startswith(header))


def prepare(
    dataset: str,
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    size: int = 256,
    detector: str = "mtcnn",
    workers: int | None = None,
    limit: int | None = None,
    plugins: Sequence[str | Path] = (),
) -> Prepared:
    """Pack a dataset.

    Args:
        dataset: one of `wrinkle.datasets.DATASETS.names()`.
        root: the dataset's folder.
        out: the store to make, usually called `*.arrow`.
        size: side of the face crops in pixels, within `SIZES`.
        detector: name of the face detector.
        workers: processes; None: one for each core.
        limit: only the first so many rows, for a trial.
        plugins: Python files that register further datasets or detectors.

    Raises:
        WrinkleError: `root` is not this dataset, `size` is too small or large, the disk is full,
            `out` has unfinished parts of another run or is a file of another kind, a worker
            process died.
    """
    path = Path(out)
    least, most = SIZES
    if not least <= size <= most:
        raise WrinkleError(f"a size of {size}: give {least} to {most} pixels")
    if path.is_dir():
        raise WrinkleError(f"{path} is a folder: name a file, such as {path / dataset}.arrow")
    check_output(path, "a store", is_store)
    load_plugins(plugins)
    rows, dropped = read_dataset(dataset, root)
    rows, doubles = find_duplicates(rows)
    rows = rows[:limit]
    plan = {"format": FORMAT, "dataset": dataset, "size": size, "detector": detector}
    plan["rows"] = _fingerprint(rows)
    parts = path.with_name(path.name + ".parts")
    _open_parts(parts, plan)
    key_points = DATASETS.create(dataset).key_points
    job = Job(parts, size, detector, key_points)
    _make_parts(job, rows, workers or usable_cores(), plugins)
    packed, left_out = _join_parts(parts, len(rows))
    dropped = sorted([*dropped, *doubles, *left_out])
    if not len(packed):
        shutil.rmtree(parts)
        reasons = Counter(d.reason for d in dropped).most_common(3)
        counted = ", ".join(f"{n:,} {reason}" for reason, n in reasons)
        example = f"; such as {dropped[0].name}: {dropped[0].detail}" if dropped else ""
        counted = counted or "it lists none"
        raise WrinkleError(f"{root}: no picture could be used: {counted}{example}")
    names = set(packed["name"].to_pylist())
    unread = [entry for row in rows if row.name in names for entry in row.unread]
    info = {**plan, "landmarks": dataset if key_points else "ibug"}
    info |= {"dropped": dropped, "unread": unread}
    write_table(path, packed, info)
    shutil.rmtree(parts)
    return Prepared(path, len(packed), packed["score"].null_count, dropped, unread)


def _fingerprint(rows: Sequence[Row]) -> str:
    """SHA-256 of all that a store takes from the rows."""
    digest = hashlib.sha256()
    for row in rows:
        labels = row.name, row.age, row.age_deviation, row.person, row.gender, row.group
        span = () if row.age_low is None else (row.age_low, row.age_high)
        digest.update(repr(labels + span).encode())
        digest.update(b"" if row.landmarks is None else row.landmarks.tobytes())
    return digest.hexdigest()


def _open_parts(parts: Path, plan: dict[str, Any]) -> None:
    """Make the folder of parts, or check that the parts in it belong to this run."""
    note = parts / "plan.json"
    if any(parts.glob("*.arrow")):
        found = json.loads(note.read_text()) if note.exists() else {}
        if found != plan:
            other = ", ".join(key for key in plan if found.get(key) != plan[key])
            raise WrinkleError(
                f"{parts} belongs to a run with other {other}: delete it to start again"
            )
    replace_file(note, json.dumps(plan).encode())


def _join_parts(parts: Path, count: int) -> tuple[pa.Table, list[Dropped]]:
    """The packed rows of all parts, in the dataset's order, and what was left out."""
    read = [read_part(part_path(parts, start)) for start in range(0, count, PART)]
    table = pa.concat_tables([SCHEMA.empty_table(), *(table for table, _ in read)])
    return table, [entry for _, dropped in read for entry in dropped]


def _make_parts(job: Job, rows: Sequence[Row], workers: int, plugins: Sequence[str | Path]) -> None:
    """Make the missing parts in worker processes, showing progress."""
    todo = [s for s in range(0, len(rows), PART) if not part_path(job.parts, s).exists()]
    if not todo:
        return
    context = get_context("spawn")  # the detector's threads do not survive a fork
    counts = context.RawArray("q", len(rows))  # photographs done, at each part's first row
    workers = min(workers, len(todo))
    done = len(rows) - sum(len(rows[s : s + PART]) for s in todo)
    with (
        ProcessPoolExecutor(workers, context, _start_worker, (plugins, counts)) as pool,
        progress(what="prepare", unit="picture", total=len(rows), initial=done) as bar,
    ):
        try:
            with _ctrl_c_blocked():
                running = {pool.submit(make_part, job, s, rows[s : s + PART]) for s in todo}
            while running:
                finished, running = wait(running, 0.2, FIRST_COMPLETED)
                for future in finished:
                    future.result()
                bar.update(done + int(np.frombuffer(counts, np.int64).sum()) - bar.n)
        except BrokenProcessPool as error:
            raise WrinkleError(
                "a worker process died, perhaps for lack of memory; finished parts are kept: "
                "run again, with fewer workers"
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Block Ctrl-C. Processes started meanwhile never receive it; their parent stops them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(plugins: Sequence[str | Path], counts: Any) -> None:
    import torch

    share_counts(counts)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    load_plugins(plugins)


def _end_with_parent() -> None:
    """Without this, the workers of a killed run would continue, beside those of the next one."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
