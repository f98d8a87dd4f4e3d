"""Ages of the pictures that a table lists, by Daft: Parquet or CSV in, a folder of Parquet out.

The table is computed in parts of a fixed number of rows. A part is a complete file or absent, so a
run that was stopped continues with the first part that is missing.
"""

import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import daft
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from daft import DataType, col
from daft.exceptions import DaftCoreException
from filelock import FileLock, Timeout
from pyarrow.fs import FileSystem

from wrinkle.console import progress
from wrinkle.errors import WrinkleError
from wrinkle.files import digest, replacing
from wrinkle.models.packaged import model_file
from wrinkle.serving.estimator import AgeEstimator
from wrinkle.tables import read_table

KEY = b"wrinkle"
"""Of the settings in the metadata of each part."""
ROWS = 4000
"""Rows of a part: a run that is killed loses the work on at most so many."""
BATCH = 64
"""Pictures of a call."""
NO_FACE = "no face found"
COUNTED = ("rows", "faces", "kept", "empty", "bad")

FACE = {
    "face": DataType.int32(),  # 1 for the most prominent; null: no face
    "age": DataType.float64(),
    "low": DataType.float64(),
    "high": DataType.float64(),
    "at_least": DataType.float64(),
    "x1": DataType.float64(),
    "y1": DataType.float64(),
    "x2": DataType.float64(),
    "y2": DataType.float64(),
    "key_points": DataType.list(DataType.list(DataType.float64())),
    "score": DataType.float64(),
    "low_resolution": DataType.bool(),
    "rotation": DataType.int32(),
    "width": DataType.int32(),
    "height": DataType.int32(),
    "error": DataType.string(),
}


@dataclass(frozen=True)
class Settings:
    """What the ages depend on; written into each part.

    Attributes:
        at_least: years; adds the probability of this age or more.
        others: arguments of `AgeEstimator.load`.
    """

    model: str = "default"
    device: str | None = None
    detector: str = "mtcnn"
    min_face: float | None = None
    min_score: float | None = None
    largest: bool = False
    at_least: int | None = None


@daft.cls
class Estimates:
    """An estimator, created once in each working process."""

    def __init__(self, settings: Settings) -> None:
        given = asdict(settings)
        self.at_least = given.pop("at_least")
        self.estimator = AgeEstimator.load(**given)

    @daft.method.batch(return_dtype=DataType.list(DataType.struct(FACE)), batch_size=BATCH)
    def faces(self, places: daft.Series) -> list[list[dict[str, Any]]]:
        """A row of `FACE` for each face, or one that says why there is none."""
        faults: dict[int, str] = {}

        def pictures() -> Iterator[str | io.BytesIO]:
            for number, place in enumerate(places.to_pylist()):
                try:
                    yield open_picture(place)
                except WrinkleError as error:
                    faults[number] = str(error)
                    yield io.BytesIO()

        found = []
        for number, prediction in enumerate(self.estimator.stream(pictures())):
            about = {
                "rotation": prediction.rotation,
                "width": prediction.width,
                "height": prediction.height,
            }
            fault = faults.get(number, prediction.error)
            rows = [self._row(k, face) | about for k, face in enumerate(prediction.faces, 1)]
            found.append(rows or [about | {"error": fault or NO_FACE}])
        return found

    def _row(self, number: int, face: Any) -> dict[str, Any]:
        row = face.to_dict(self.at_least)
        if self.at_least is not None:
            row["at_least"] = row.pop(f"at_least_{self.at_least}")
        return {
            "face": number,
            **row,
            **dict(zip(("x1", "y1", "x2", "y2"), row.pop("box"), strict=True)),
        }


def open_picture(place: str | None) -> str | io.BytesIO:
    """A local path as it is; the content of an object, with its address as `name`.

    Raises:
        WrinkleError: no path, an address of an unknown kind, or it cannot be fetched.
    """
    if not place:
        raise WrinkleError("no path")
    if "://" not in place:
        return place
    try:
        system, path = FileSystem.from_uri(place)
        with system.open_input_stream(path) as stream:
            content = io.BytesIO(stream.read())
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise WrinkleError(f"{place}: cannot be fetched ({reason})") from None
    content.name = place
    return content


class PictureTable:
    """A table with a column of paths or addresses.

    Args:
        source: a Parquet file, a folder of them, or a CSV file.
        column: the name of the column.

    Raises:
        WrinkleError: it cannot be read, or has no such column of text.
    """

    def __init__(self, source: Path, column: str = "path") -> None:
        self.source, self.column = source, column
        self._data: pads.Dataset | pa.Table
        if source.suffix.lower() == ".csv":
            lines = read_table(source, [column.lower()]).lines
            cells = [cells[column.lower()] or None for _, cells in lines]
            self._data, self.count = pa.table({column: pa.array(cells, pa.string())}), len(cells)
            return
        try:
            self._data = pads.dataset(source, format="parquet")
            self.count = self._data.count_rows()
        except (OSError, pa.ArrowException) as error:
            reason = str(error).partition("\n")[0]
            raise WrinkleError(f"cannot read {source} as Parquet: {reason}") from None
        if not self._data.files:
            raise WrinkleError(f"{source} holds no Parquet file")
        if column not in self._data.schema.names:
            names = ", ".join(self._data.schema.names)
            raise WrinkleError(
                f"{source} has no column {column!r}: name one of {names} by --column"
            )
        kind = self._data.schema.field(column).type
        text = kind.value_type if pa.types.is_dictionary(kind) else kind  # pandas' categories
        if text not in (pa.string(), pa.large_string(), pa.string_view()):
            raise WrinkleError(f"the column {column} of {source} is {kind}, not text")

    def parts(self, rows: int) -> Iterator[pa.Table]:
        """The table in parts of `rows` rows: `row`, `path` as it is, `place` absolute."""
        waiting, start = pa.table({self.column: pa.array([], pa.string())}), 0
        for batch in self._data.to_batches(**self._columns()):
            own = pa.table({self.column: batch.column(self.column).cast(pa.string())})
            waiting = pa.concat_tables([waiting, own])
            while len(waiting) >= rows:
                yield self._part(waiting[:rows], start)
                waiting, start = waiting[rows:], start + rows
        if len(waiting):
            yield self._part(waiting, start)

    def _columns(self) -> dict[str, Any]:
        return {} if isinstance(self._data, pa.Table) else {"columns": [self.column]}

    def _part(self, rows: pa.Table, start: int) -> pa.Table:
        names = rows[self.column].to_pylist()
        places = [n if not n or "://" in n else os.path.abspath(n) for n in names]
        numbers = pa.array(range(start, start + len(names)), pa.int64())
        return pa.table(
            {
                "row": numbers,
                "path": pa.array(names, pa.string()),
                "place": pa.array(places, pa.string()),
            }
        )


def predict_table(
    table: PictureTable, out: Path, settings: Settings, rows: int = ROWS, workers: int = 1
) -> dict[str, int]:
    """Write the ages of a table's pictures; parts that are there are not computed again.

    Args:
        table: lists the pictures.
        out: a folder, which is created if needed; *.parquet, in the order of the rows.
        settings: of the estimator.
        rows: of a part.
        workers: into how many pieces a part is divided: the cores of a cluster, or 1.

    Returns:
        Numbers of `rows` computed and of their `faces`, of rows `kept` from earlier, and of all
        rows that are `empty`, without a face, or `bad`, whose picture could not be used.

    Raises:
        WrinkleError: `out` holds other files, or results of another table or with other settings,
            or another run writes there, or it cannot be written.
    """
    lock = FileLock(out / ".lock", timeout=0)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise WrinkleError(f"another run writes to {out}: wait for it, or stop it") from None
    except OSError as error:
        raise WrinkleError(f"cannot write to {out}: {error.strerror}") from error
    try:
        return _predict(table, out, settings, rows, workers)
    finally:
        lock.release()


def _predict(
    table: PictureTable, out: Path, settings: Settings, rows: int, workers: int
) -> dict[str, int]:
    key = {"table": os.path.abspath(table.source), "column": table.column, "count": table.count}
    chosen = {**asdict(settings), "model": digest(model_file(settings.model)), "device": None}
    note = json.dumps({**key, "rows": rows, **chosen}).encode()
    estimates, done = Estimates(settings), dict.fromkeys(COUNTED, 0)
    _check_folder(out, note)
    with progress(what="predict", unit="picture", total=table.count) as bar:
        for number, part in enumerate(table.parts(rows)):
            file = out / f"{number:06d}.parquet"
            if file.exists():
                found = _checked(file, part)
                done["kept"] += len(part)
            else:
                found = _compute(part, estimates, settings, workers, file)
                done["rows"] += len(part)
                done["faces"] += found["face"].drop_null().length()
                described = found.replace_schema_metadata({KEY: note})
                with replacing(file, kept="earlier parts") as temporary:
                    pq.write_table(described, temporary, write_page_checksum=True)
            errors = Counter(found["error"].drop_null().to_pylist())
            done["empty"] += errors[NO_FACE]
            done["bad"] += errors.total() - errors[NO_FACE]
            bar.update(len(part))
    return done


def _compute(
    part: pa.Table, estimates: Any, settings: Settings, workers: int, file: Path
) -> pa.Table:
    frame = daft.from_arrow(part)
    if workers > 1:
        frame = frame.into_partitions(workers)
    names = {name: name for name in FACE}
    names["at_least"] = f"at_least_{settings.at_least}"
    if settings.at_least is None:
        del names["at_least"]
    found = frame.with_column("found", estimates.faces(col("place"))).explode("found")
    columns = [col("found").get(name).alias(shown) for name, shown in names.items()]
    try:
        return (
            found.select("row", "path", *columns)
            .to_arrow()
            .sort_by([("row", "ascending"), ("face", "ascending")])
        )
    except DaftCoreException as error:
        reason = str(error).strip().splitlines()[-1]
        raise WrinkleError(
            f"cannot compute {file}: {reason}; earlier parts are kept: run the command again"
        ) from error


def _check_folder(out: Path, note: bytes) -> None:
    """Check that all that a folder holds are parts with these settings, in whole or begun."""
    for file in sorted(out.iterdir()):
        if not re.fullmatch(r"\d{6,}\.parquet(\.part)?|\.lock", file.name):
            raise WrinkleError(f"{out} holds other files ({file.name}): name a new folder by --out")
        if file.suffix == ".parquet":
            with _reading(file):
                known = (pq.read_schema(file).metadata or {}).get(KEY)
            if known != note:
                raise _other(out)


def _checked(file: Path, part: pa.Table) -> pa.Table:
    """A part that was computed earlier, if it is intact and of these rows of the table."""
    with _reading(file):
        found = pq.read_table(file, page_checksum_verification=True)
    first = found.filter(np.diff(found["row"].to_numpy(), prepend=-1) != 0)
    if any(first[name].to_pylist() != part[name].to_pylist() for name in ("row", "path")):
        raise _other(file.parent)
    return found


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise WrinkleError(f"{file} cannot be read ({reason}): delete it and run again") from None


def _other(out: Path) -> WrinkleError:
    return WrinkleError(
        f"{out} holds results of another table, model or other settings: name another folder by "
        "--out, or delete it"
    )
