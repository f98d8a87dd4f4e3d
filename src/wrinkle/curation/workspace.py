"""A workspace: a folder of Parquet tables, written by Daft, and of the pictures they refer to.

    ROOT/faces/000000/*.parquet        the first part of a stage's table, and so on
    ROOT/split/000003-whole/*.parquet  a complete table; parts before it no longer count
    ROOT/journals/collect.jsonl        rows that are not in a part yet
    ROOT/notes/split.json              settings and inputs of a stage's table
    ROOT/pictures/ab/abcd…             files, named by the SHA-256 of their content

A stage's folder holds nothing but its table, because Polars refuses a folder with files of other
kinds, and pandas one with files that do not start with `_` or `.`.

A part is complete or absent: a stage that was stopped at any moment continues after the last
complete part, or journal line, and produces the same table.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import daft
import pyarrow as pa
from daft.exceptions import DaftCoreException
from filelock import FileLock, Timeout

import wrinkle.cluster  # noqa: F401  # before Daft, whose environment it sets
from wrinkle.console import progress
from wrinkle.errors import WrinkleError
from wrinkle.files import replace_file, replacing

Work = Callable[[daft.DataFrame], daft.DataFrame]
"""Some rows of the stage before → rows of this one; lazy, so that a cluster can compute it."""
COMPLETE = "-whole"
"""Ending of a part that replaces all earlier ones."""
UNFINISHED = ".part"
"""Ending of what `replacing` has not finished."""


class Workspace:
    """The tables below `root`, a folder that is created if needed.

    Attributes:
        machines: over how many of them a stage's work is distributed.

    Raises:
        WrinkleError: the folder cannot be created.
    """

    machines = 1

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WrinkleError(f"cannot create {self.root}: {error.strerror}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Prevents other processes from writing; first deletes unfinished parts of killed runs.

        Raises:
            WrinkleError: another process has the lock.
        """
        try:
            with FileLock(self.root / ".lock", timeout=0):
                for stage in list(self.root.iterdir()):
                    self._sweep(stage.name)
                    self._move_earlier_files(stage.name)
                yield
        except Timeout:
            raise WrinkleError(
                f"another run works in {self.root}: wait for it, or stop it"
            ) from None

    def parts(self, stage: str) -> list[Path]:
        """Folders of the parts that count, in their order."""
        folders = (self.root / stage).glob("[0-9]*")
        every = sorted(f for f in folders if f.is_dir() and f.suffix != UNFINISHED)
        last = max((k for k, path in enumerate(every) if path.name.endswith(COMPLETE)), default=0)
        return every[last:]

    def version(self, stage: str) -> str:
        """A text that changes whenever the stage's table does."""
        parts = [f"{part.name} {part.stat().st_mtime_ns}" for part in self.parts(stage)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def note(self, stage: str) -> dict[str, Any] | None:
        """What `write_note` last wrote about a stage, such as its settings and inputs."""
        try:
            note: dict[str, Any] = json.loads(self._note_file(stage).read_text())
            return note
        except (OSError, ValueError):
            return None

    def write_note(self, stage: str, note: Mapping[str, Any]) -> None:
        replace_file(self._note_file(stage), json.dumps(note).encode())

    def discard(self, stage: str) -> None:
        """Delete a stage's table, journal and note."""
        shutil.rmtree(self.root / stage, ignore_errors=True)
        for file in (self._note_file(stage), self.journal_file(stage)):
            file.unlink(missing_ok=True)

    def journal_file(self, stage: str) -> Path:
        """Where a stage's rows are that are not in a part yet."""
        return self.root / "journals" / f"{stage}.jsonl"

    def picture(self, digest: str) -> Path:
        """The path of the picture with that SHA-256."""
        return self.root / "pictures" / digest[:2] / digest

    def keep_picture(self, digest: str, data: bytes) -> None:
        """Write a picture unless it exists."""
        if not self.picture(digest).exists():
            replace_file(self.picture(digest), data, flush=False)

    def frame(self, stage: str) -> daft.DataFrame | None:
        """A stage's rows, lazily; None if it has none yet.

        Raises:
            WrinkleError: a part is damaged.
        """
        parts = self.parts(stage)
        try:
            return daft.read_parquet([f"{part}/*.parquet" for part in parts]) if parts else None
        except (DaftCoreException, FileNotFoundError) as error:
            reason = str(error).splitlines()[0]
            raise WrinkleError(
                f"{self.root / stage} is damaged ({reason}): delete it and run the stage again"
            ) from None

    def table(self, stage: str, *columns: str) -> pa.Table:
        """A stage's rows, with these columns or all; no rows if it has none yet."""
        frame = self.frame(stage)
        if frame is None:
            return pa.table({column: pa.nulls(0) for column in columns})
        return (frame.select(*columns) if columns else frame).to_arrow()

    def append(self, stage: str, frame: daft.DataFrame) -> None:
        """Compute a frame and write it as the stage's next part."""
        self._write(frame, self.root / stage, "")

    def replace(self, stage: str, frame: daft.DataFrame) -> None:
        """Compute a frame and write it in place of the stage's table."""
        self._write(frame, self.root / stage, COMPLETE)
        self._sweep(stage)

    def extend(self, stage: str, todo: pa.Table, key: str, work: Work, at_once: int) -> None:
        """Do the work on those rows of `todo` whose `key` the stage does not have, in parts.

        Args:
            work: must return a row for each `key`; one that is missing is done again by every run.
            at_once: rows of `todo` in a part, for each machine.
        """
        done = set(self.table(stage, key)[key].to_pylist())
        keys = todo[key].to_pylist()
        rows = [row for row, name in enumerate(keys) if name not in done]
        at_once *= self.machines
        with progress(what=stage, total=len(keys), initial=len(keys) - len(rows)) as bar:
            for start in range(0, len(rows), at_once):
                part = todo.take(rows[start : start + at_once])
                frame = daft.from_arrow(part)
                if self.machines > 1:
                    frame = frame.into_partitions(self.machines)
                self.append(stage, work(frame))
                bar.update(len(part))

    def stream(
        self,
        stage: str,
        todo: pa.Table,
        schema: pa.Schema,
        work: Callable[[pa.Table], Iterable[dict[str, Any]]],
        at_once: int,
    ) -> None:
        """Do the work on those rows of `todo` that the stage lacks, writing each row immediately.

        Args:
            schema: the stage's; its first column is the key, which `todo` has too.
            work: some rows → rows of the stage, in any order; the next run asks again for those
                that are missing.
            at_once: rows in a part.
        """
        key = schema.names[0]
        done = set(self.table(stage, key)[key].to_pylist())
        keys = todo[key].to_pylist()
        with _Journal(self.journal_file(stage)) as journal:
            journal.rows = [row for row in journal.rows if row[key] not in done]
            done.update(row[key] for row in journal.rows)
            left = todo.filter(pa.array([name not in done for name in keys], pa.bool_()))
            try:
                with progress(what=stage, total=len(keys), initial=len(keys) - len(left)) as bar:
                    for row in work(left) if len(left) else ():
                        journal.add(row)
                        bar.update()
                        if len(journal.rows) >= at_once:
                            self._close_journal(stage, journal, schema)
            finally:
                self._close_journal(stage, journal, schema)

    def close_journal(self, stage: str, schema: pa.Schema) -> None:
        """Write the rows that a killed run left in the stage's journal as a part."""
        nothing = pa.table({schema.names[0]: pa.array([], pa.string())})
        self.stream(stage, nothing, schema, lambda rows: (), 1)

    def _close_journal(self, stage: str, journal: "_Journal", schema: pa.Schema) -> None:
        if journal.rows:
            self.append(stage, daft.from_arrow(pa.Table.from_pylist(journal.rows, schema)))
            journal.clear()

    def _sweep(self, stage: str) -> None:
        """Delete the parts that no longer count, and unfinished ones."""
        parts = self.parts(stage)
        for path in (self.root / stage).glob("[0-9]*"):
            if path.is_dir() and path not in parts:
                shutil.rmtree(path)

    def _note_file(self, stage: str) -> Path:
        return self.root / "notes" / f"{stage}.json"

    def _move_earlier_files(self, stage: str) -> None:
        """Move a note and a journal that an earlier version of wrinkle kept beside the parts."""
        for name, place in (
            ("note.json", self._note_file(stage)),
            ("journal.jsonl", self.journal_file(stage)),
        ):
            earlier = self.root / stage / name
            if earlier.is_file():
                place.parent.mkdir(exist_ok=True)
                earlier.replace(place)

    def _write(self, frame: daft.DataFrame, folder: Path, kind: str) -> None:
        numbers = [int(path.name[:6]) for path in folder.glob("[0-9]*")]
        part = folder / f"{max(numbers, default=-1) + 1:06d}{kind}"
        try:
            with replacing(part) as temporary:
                frame.write_parquet(str(temporary))
        except DaftCoreException as error:
            raise WrinkleError(
                f"cannot write {part}: {str(error).splitlines()[0]}; earlier parts are kept: run"
                " again"
            ) from error


class _Journal:
    """Rows as lines of JSON, each written before the next one is computed."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        self._file.seek(0)
        complete = self._file.read().rpartition(b"\n")[0]
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in complete.splitlines()]
        self._file.truncate(len(complete) + 1 if complete else 0)  # drops an unfinished last line

    def __enter__(self) -> "_Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()

    def clear(self) -> None:
        self.rows = []
        self._file.truncate(0)
