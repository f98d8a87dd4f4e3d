"""A workspace: a folder of Parquet tables, one for each stage, read and written by Daft.

    ROOT/faces/000000/*.parquet     the first part of what a stage has come to, and so on
    ROOT/pictures/ab/abcd…          files, named by the SHA-256 of what they hold

A part is there whole or not at all: a stage that was stopped anywhere, by whatever, goes on after
the last part that is whole, and comes to the same table.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("DO_NOT_TRACK", "1")  # before Daft, which else reports that it was imported
import daft
import pyarrow as pa
from daft.exceptions import DaftCoreException
from tqdm import tqdm

from wrinkle.errors import WrinkleError

Work = Callable[[daft.DataFrame], daft.DataFrame]
"""Some rows of the stage before → rows of this one; lazy, so that a cluster can share it."""


class Workspace:
    """The tables below `root`, which is made if it is not there.

    WrinkleError when it cannot be made.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WrinkleError(f"cannot make {self.root}: {error.strerror}") from error

    def parts(self, stage: str) -> list[Path]:
        """Folders of the parts that are whole, in their order."""
        return sorted(path for path in (self.root / stage).glob("[0-9]*") if path.is_dir())

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
        self._write(frame, self.root / stage / f"{len(self.parts(stage)):06d}")

    def replace(self, stage: str, frame: daft.DataFrame) -> None:
        """Compute a frame, which takes the place of all that the stage has come to."""
        old = self.parts(stage)
        number = int(old[-1].name) + 1 if old else 0
        self._write(frame, self.root / stage / f"{number:06d}")
        for part in old:
            shutil.rmtree(part)

    def extend(self, stage: str, todo: pa.Table, key: str, work: Work, at_once: int) -> None:
        """Do the work on those rows of `todo` whose `key` the stage does not have, in parts.

        Every row of `todo` must leave a row with its `key`, or it will be done again and again.
        """
        done = set(self.table(stage, key)[key].to_pylist())
        keys = todo[key].to_pylist()
        rows = [row for row, name in enumerate(keys) if name not in done]
        with tqdm(total=len(keys), initial=len(keys) - len(rows), desc=stage, disable=None) as bar:
            for start in range(0, len(rows), at_once):
                part = todo.take(rows[start : start + at_once])
                self.append(stage, work(daft.from_arrow(part)))
                bar.update(len(part))

    def _write(self, frame: daft.DataFrame, part: Path) -> None:
        scratch = part.with_name(f".{part.name}")
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            frame.write_parquet(str(scratch))
            os.replace(scratch, part)
        except (DaftCoreException, OSError) as error:
            raise WrinkleError(
                f"cannot write {part}: {str(error).splitlines()[0]}; what is done stays: run again"
            ) from error
