"""A workspace: a folder of Parquet tables, written by Daft, and of the pictures they speak of.

    ROOT/faces/000000/*.parquet        the first part of what a stage has come to, and so on
    ROOT/split/000003-whole/*.parquet  all that it has come to; parts before it no longer count
    ROOT/collect/journal.jsonl         rows that are not in a part yet
    ROOT/pictures/ab/abcd…             files, named by the SHA-256 of what they hold

A part is there whole or not at all: a stage that was stopped anywhere, by whatever, goes on after
the last part, or journal line, that is whole, and comes to the same table.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("DO_NOT_TRACK", "1")  # before Daft, which else reports that it was imported
os.environ.setdefault("DAFT_PROGRESS_BAR", "0")  # we show progress ourselves
import daft
import pyarrow as pa
from daft.exceptions import DaftCoreException
from filelock import FileLock, Timeout
from tqdm import tqdm

from wrinkle.errors import WrinkleError

Work = Callable[[daft.DataFrame], daft.DataFrame]
"""Some rows of the stage before → rows of this one; lazy, so that a cluster can share it."""
WHOLE = "-whole"


class Workspace:
    """The tables below `root`, which is made if it is not there.

    machines: over how many of them a stage's work is spread.

    WrinkleError when it cannot be made.
    """

    machines = 1

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WrinkleError(f"cannot make {self.root}: {error.strerror}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """For whoever writes: nobody else does meanwhile; leavings of a killed run are cleared."""
        try:
            with FileLock(self.root / ".lock", timeout=0):
                for stage in self.root.iterdir():
                    self._sweep(stage.name)
                yield
        except Timeout:
            raise WrinkleError(
                f"another run works in {self.root}: wait for it, or stop it"
            ) from None

    def parts(self, stage: str) -> list[Path]:
        """Folders of the parts that count, in their order."""
        every = sorted(path for path in (self.root / stage).glob("[0-9]*") if path.is_dir())
        last = max((k for k, path in enumerate(every) if path.name.endswith(WHOLE)), default=0)
        return every[last:]

    def version(self, stage: str) -> str:
        """A word that changes whenever the stage's table does."""
        said = [f"{part.name} {part.stat().st_mtime_ns}" for part in self.parts(stage)]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()

    def note(self, stage: str) -> dict[str, Any] | None:
        """What was last written down of how the stage was made."""
        try:
            noted: dict[str, Any] = json.loads((self.root / stage / "note.json").read_text())
            return noted
        except (OSError, ValueError):
            return None

    def write_note(self, stage: str, note: Mapping[str, Any]) -> None:
        self._save(self.root / stage / "note.json", json.dumps(note).encode())

    def discard(self, stage: str) -> None:
        """Throw away all that a stage has come to."""
        shutil.rmtree(self.root / stage, ignore_errors=True)

    def picture(self, digest: str) -> Path:
        """Where the picture of that SHA-256 lies."""
        return self.root / "pictures" / digest[:2] / digest

    def keep_picture(self, digest: str, data: bytes) -> None:
        """Write a picture that is not there yet."""
        if not self.picture(digest).exists():
            self._save(self.picture(digest), data)

    def frame(self, stage: str) -> daft.DataFrame | None:
        """A stage's rows, lazily; None where it has none yet."""
        parts = self.parts(stage)
        try:
            return daft.read_parquet([f"{part}/*.parquet" for part in parts]) if parts else None
        except (DaftCoreException, FileNotFoundError) as error:
            reason = str(error).splitlines()[0]
            raise WrinkleError(
                f"{self.root / stage} is damaged ({reason}): delete it and run the stage again"
            ) from None

    def table(self, stage: str, *columns: str) -> pa.Table:
        """A stage's rows, those of `columns`, or of all; without columns where it has none yet."""
        frame = self.frame(stage)
        if frame is None:
            return pa.table({column: pa.nulls(0) for column in columns})
        return (frame.select(*columns) if columns else frame).to_arrow()

    def append(self, stage: str, frame: daft.DataFrame) -> None:
        """Compute a frame and keep it as the stage's next part."""
        self._write(frame, self.root / stage, "")

    def replace(self, stage: str, frame: daft.DataFrame) -> None:
        """Compute a frame, which takes the place of all that the stage has come to."""
        self._write(frame, self.root / stage, WHOLE)
        self._sweep(stage)

    def extend(self, stage: str, todo: pa.Table, key: str, work: Work, at_once: int) -> None:
        """Do the work on those rows of `todo` whose `key` the stage does not have, in parts.

        Every row of `todo` must leave a row with its `key`, or it will be done again and again.
        """
        done = set(self.table(stage, key)[key].to_pylist())
        keys = todo[key].to_pylist()
        rows = [row for row, name in enumerate(keys) if name not in done]
        at_once *= self.machines
        with tqdm(total=len(keys), initial=len(keys) - len(rows), desc=stage, disable=None) as bar:
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
        """Do the work on those rows of `todo` that the stage lacks, and note every row at once.

        schema: the stage's; its first column is the key, which `todo` has too. work: some rows →
        rows of the stage, in any order; what it does not answer is asked again by the next run.
        """
        key = schema.names[0]
        done = set(self.table(stage, key)[key].to_pylist())
        keys = todo[key].to_pylist()
        with _Journal(self.root / stage / "journal.jsonl") as journal:
            journal.rows = [row for row in journal.rows if row[key] not in done]
            done.update(row[key] for row in journal.rows)
            left = todo.filter(pa.array([name not in done for name in keys], pa.bool_()))
            try:
                with tqdm(
                    total=len(keys), initial=len(keys) - len(left), desc=stage, disable=None
                ) as bar:
                    for row in work(left) if len(left) else ():
                        journal.add(row)
                        bar.update()
                        if len(journal.rows) >= at_once:
                            self._close_journal(stage, journal, schema)
            finally:
                self._close_journal(stage, journal, schema)

    def settle(self, stage: str, schema: pa.Schema) -> None:
        """Make a part of the rows that a killed run left in the stage's journal."""
        nothing = pa.table({schema.names[0]: pa.array([], pa.string())})
        self.stream(stage, nothing, schema, lambda rows: (), 1)

    def _close_journal(self, stage: str, journal: "_Journal", schema: pa.Schema) -> None:
        if journal.rows:
            self.append(stage, daft.from_arrow(pa.Table.from_pylist(journal.rows, schema)))
            journal.clear()

    def _sweep(self, stage: str) -> None:
        """Delete the parts that no longer count, and what was half written."""
        count = self.parts(stage)
        for path in [*(self.root / stage).glob("[0-9]*"), *(self.root / stage).glob(".[0-9]*")]:
            if path.is_dir() and path not in count:
                shutil.rmtree(path)

    def _write(self, frame: daft.DataFrame, folder: Path, kind: str) -> None:
        numbers = [int(path.name[:6]) for path in folder.glob("[0-9]*")]
        part = folder / f"{max(numbers, default=-1) + 1:06d}{kind}"
        scratch = part.with_name(f".{part.name}")
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            frame.write_parquet(str(scratch))
            os.replace(scratch, part)
        except (DaftCoreException, OSError) as error:
            raise WrinkleError(
                f"cannot write {part}: {str(error).splitlines()[0]}; what is done stays: run again"
            ) from error

    def _save(self, path: Path, data: bytes) -> None:
        scratch = path.with_name(f".{path.name}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_bytes(data)
            os.replace(scratch, path)
        except OSError as error:
            raise WrinkleError(f"cannot write {path}: {error.strerror}; run again") from error


class _Journal:
    """Rows as lines of JSON, each on disk before the next one is begun."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        self._file.seek(0)
        whole = self._file.read().rpartition(b"\n")[0]
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in whole.splitlines()]
        self._file.truncate(len(whole) + 1 if whole else 0)  # a line that a kill cut short

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
