"""The packed dataset: one Arrow IPC file of face crops and labels, memory-mapped when read.

A row is a face: its crop as JPEG, its key points in the crop, its labels, where it came from. The
file opens unchanged in pyarrow (`pyarrow.ipc.open_file`), pandas (`read_feather`), DuckDB (through
`pyarrow.dataset.dataset(path, format="ipc")`) and Hugging Face `datasets`
(`load_dataset("arrow", data_files=path)`).
"""

import hashlib
import json
import os
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from wrinkle.datasets.rows import MAX_AGE, distance_to_range
from wrinkle.errors import WrinkleError
from wrinkle.files import replacing

FORMAT = 2
SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("image", pa.binary(), nullable=False),  # JPEG, square
        pa.field("key_points", pa.list_(pa.float32(), 10), nullable=False),  # x, y in crop pixels
        pa.field(
            "landmarks", pa.list_(pa.float32(), 136)
        ),  # in crop pixels; order: info["landmarks"]
        pa.field("age", pa.float32()),  # null where only a range is known
        pa.field("age_deviation", pa.float32()),
        pa.field("age_low", pa.int16()),  # whole years, inclusive; both or none
        pa.field("age_high", pa.int16()),
        pa.field("person", pa.string()),
        pa.field("gender", pa.string()),
        pa.field("group", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),  # sha256 of the photograph's file
        pa.field("score", pa.float32()),  # the detector's; null: key points placed by hand
    ]
)
LABELS = [name for name in SCHEMA.names if name not in ("image", "key_points", "landmarks")]


class StoreWriter:
    """Writes a store in steps. The file is there, complete, once the `with` block ends well.

    Args:
        info: its description, JSON; "format" is `FORMAT`, "size" the crops' side in pixels.

    Raises:
        WrinkleError: the disk is full or the folder cannot be written.
    """

    def __init__(self, path: Path, info: object, schema: pa.Schema = SCHEMA) -> None:
        self._path = path
        self._schema = schema.with_metadata({b"wrinkle": json.dumps(info).encode()})

    def __enter__(self) -> "StoreWriter":
        with ExitStack() as stack:
            temporary = stack.enter_context(replacing(self._path, kept="what is packed so far"))
            sink = stack.enter_context(pa.OSFile(str(temporary), "wb"))
            self._writer = stack.enter_context(pa.ipc.new_file(sink, self._schema))
            self._open = stack.pop_all()
        return self

    def write(self, rows: pa.Table) -> None:
        """Add some rows."""
        table = rows.replace_schema_metadata(self._schema.metadata)
        self._writer.write_table(table, max_chunksize=1024)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, traceback)


def is_store(head: bytes) -> bool:
    """Whether a file's first bytes are those of an Arrow file, such as a store."""
    return head.startswith(b"ARROW1")


def write_table(path: Path, table: pa.Table, info: object) -> None:
    """Write rows of `SCHEMA` and their description at once; see `StoreWriter`."""
    with StoreWriter(path, info, table.schema) as writer:
        writer.write(table)


class Store:
    """A packed dataset, opened without reading it into memory.

    Attributes:
        info: the file's own description: dataset, crop size, detector, what was dropped.
        columns: `pyarrow.Table` of the labels (no pictures, no points), one row per face.
        ages: (N,) float32 years; the middle of the range where no age is known.
        ranges: (N, 2) float32 years, the first and last year of the range; NaN where there is none.
        exact: (N,) bool, whether the age is known.
        key_points: (N, 5, 2) float32 in crop pixels.
        size: side of the crops in pixels.

    Raises:
        WrinkleError: the file is missing, cut short, damaged or not a store.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            table = pa.ipc.open_file(pa.memory_map(str(self.path))).read_all()
            self.info: dict[str, Any] = json.loads((table.schema.metadata or {})[b"wrinkle"])
            if self.info["format"] not in (1, FORMAT):
                raise WrinkleError(f"{path}: format {self.info['format']}, expected {FORMAT}")
            if self.info["format"] == 1:
                table = _with_ranges(table)
            self.size = int(self.info["size"])
            if not table.schema.equals(SCHEMA):
                raise WrinkleError(f"{path} has other columns than a wrinkle store: prepare again")
            table.validate(full=True)  # Arrow would follow a damaged offset out of the file
        except FileNotFoundError:
            raise WrinkleError(f"no store at {path}: make one with `wrinkle prepare`") from None
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise WrinkleError(
                f"{path} is not a complete wrinkle store: make it with `wrinkle prepare`"
            ) from error
        self._images = table["image"]
        self.columns = table.select(LABELS)
        self._set_labels(table)
        points = table["key_points"].combine_chunks().flatten().to_numpy()
        self.key_points = points.reshape(-1, 5, 2)
        self._landmarks = table["landmarks"]
        if not np.isfinite(points).all():
            raise WrinkleError(f"{path} is damaged: prepare it again")

    def _set_labels(self, table: pa.Table) -> None:
        low, high, age = (
            table[column].to_numpy().astype(np.float32) for column in ("age_low", "age_high", "age")
        )
        self.ranges = np.stack([low, high], 1)
        self.exact = ~np.isnan(age)
        self.ages = np.where(self.exact, age, (low + high) / 2)
        possible = (self.ages >= 0) & (self.ages <= MAX_AGE) & (np.isnan(low) == np.isnan(high))
        if not possible.all() or (low > high).any():
            raise WrinkleError(f"{self.path} is damaged: prepare it again")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, labels and digests: the same for the same labelled pictures."""
        digest = hashlib.sha256()
        columns = ["name", "age", "digest"]
        if self.columns["age_low"].null_count < len(self):
            columns += ["age_low", "age_high"]
        for column in columns:
            digest.update("\n".join(map(str, self.columns[column].to_pylist())).encode())
        return digest.hexdigest()

    @property
    def dropped(self) -> list[str]:
        """Names of the pictures of the dataset that `prepare` left out."""
        return [entry[0] for entry in self.info.get("dropped", [])]

    def __len__(self) -> int:
        return len(self.ages)

    def __reduce__(self) -> tuple[type["Store"], tuple[Any]]:
        return Store, (self.path,)

    def errors(self, rows: np.ndarray, ages: np.ndarray) -> np.ndarray:
        """Absolute errors in years, (n,); where only a range is known, the distance to it.

        Args:
            rows: (n,) rows of the store.
            ages: (n,) years, estimates for them.
        """
        outside = distance_to_range(ages, self.ranges[rows])
        return np.where(self.exact[rows], np.abs(ages - self.ages[rows]), outside)

    def labels(self, rows: np.ndarray) -> list[str]:
        """The labels of rows in whole years: an age, or a range such as "20–29"."""
        ranges = ["{:.0f}–{:.0f}".format(*ends) for ends in self.ranges[rows]]
        ages = [f"{age:.0f}" for age in self.ages[rows]]
        labels: list[str] = np.where(self.exact[rows], ages, ranges).tolist()
        return labels

    def image(self, index: int) -> np.ndarray:
        """The face crop of a row: (size, size, 3) uint8 RGB.

        Raises:
            WrinkleError: the picture is damaged.
        """
        data = np.frombuffer(self._images[int(index)].as_buffer(), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
        if picture is None or picture.shape != (self.size, self.size, 3):
            raise WrinkleError(f"{self.path}: the picture of row {index} is damaged: prepare again")
        return picture

    def landmarks(self, index: int) -> np.ndarray | None:
        """The landmarks of a row, (68, 2) float32 in crop pixels; None where it has none."""
        values = self._landmarks[int(index)].as_py()
        return None if values is None else np.array(values, np.float32).reshape(68, 2)


def _with_ranges(table: pa.Table) -> pa.Table:
    """A table of format 1 with the columns of format 2."""
    unknown = pa.nulls(len(table), pa.int16())
    for name in ("age_low", "age_high"):
        place = SCHEMA.get_field_index(name)
        table = table.add_column(place, SCHEMA.field(name), unknown)
    place = SCHEMA.get_field_index("age")
    return table.set_column(place, SCHEMA.field("age"), table["age"])
