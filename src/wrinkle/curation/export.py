"""The dataset as files: wrinkle's own store, and a folder for Hugging Face `datasets`.

Every face keeps all that is known of where it comes from and who said what of its age.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import daft
import pyarrow as pa
import pyarrow.parquet as pq
from daft import col
from daft.functions import to_struct

from wrinkle.curation.config import LOCAL
from wrinkle.curation.workspace import Workspace
from wrinkle.datasets.store import FORMAT, SCHEMA, StoreWriter
from wrinkle.errors import WrinkleError
from wrinkle.faces.decode import decode

FOLDER = "export"
STORE = "faces.arrow"
HUGGING_FACE = "huggingface"
SHARD, CHUNK = 10_000, 1000
"""Faces of a Parquet file, about 200 MB, and of those that are in memory at a time."""
SOURCE = pa.struct(
    [
        *((name, pa.string()) for name in ("url", "final_url", "source", "query", "licence")),
        *((name, pa.string()) for name in ("page", "title", "creator", "fetched_at")),
    ]
)
VOTE = pa.struct([("person", pa.string()), ("age", pa.float64()), ("round", pa.int64())])
FEATURES = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("age", pa.float64()),
        ("age_deviation", pa.float64()),
        ("face", pa.string()),
        ("picture", pa.string()),  # SHA-256 of the picture it was cut out of
        ("person", pa.string()),
        ("key_points", pa.list_(pa.float32())),  # five, x and y in the image
        ("box", pa.list_(pa.float32())),  # x1, y1, x2, y2 in the picture
        ("score", pa.float32()),
        ("size", pa.float32()),
        ("sharpness", pa.float32()),
        ("hash", pa.uint64()),
        ("coarse_age", pa.float64()),
        ("coarse", pa.string()),  # each annotator's age, as JSON
        ("votes", pa.list_(VOTE)),
        ("duplicates", pa.list_(pa.string())),  # near-identical faces that were left out
        ("sources", pa.list_(SOURCE)),
    ],
    {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})},
)
"""Columns of the Hugging Face folder, which knows so that the first one is a picture."""


@contextmanager
def anew(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `folder` once it is whole.

    Raises:
        WrinkleError: the disk is full, say.
    """
    scratch = folder.with_name(f".{folder.name}")
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        yield scratch
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(scratch, folder)
    except OSError as error:
        reason = error.strerror or error
        raise WrinkleError(f"cannot write {folder}: {reason}; run again") from error


def rows(workspace: Workspace) -> daft.DataFrame:
    """The faces of the dataset, the test part first, with all that the stages know of them."""
    split, faces, coarse = map(workspace.frame, ("split", "faces", "coarse_label"))
    assert split is not None
    assert faces is not None
    assert coarse is not None
    frame = split.join(faces.exclude("dropped", "detail", "picture", "digest"), on="face")
    coarse = coarse.select("face", col("age").alias("coarse_age"), col("by"))
    frame = frame.join(coarse, on="face", how="left")
    for column, lists in (
        ("sources", _sources(workspace)),
        ("duplicates", _duplicates(workspace)),
        ("votes", _votes(workspace)),
    ):
        if lists is not None:
            on = next(name for name in lists.column_names if name != column)
            frame = frame.join(lists, on=on, how="left")
    return frame.sort(["part", "face"])


def _sources(workspace: Workspace) -> daft.DataFrame:
    found, collected = map(workspace.frame, ("found", "collect"))
    assert found is not None
    assert collected is not None
    kept = collected.where(col("picture").not_null())
    kept = kept.select("address", "picture", "final_url", "fetched_at")
    every = found.join(kept, on="address").select(
        "picture", to_struct(**{field.name: col(field.name) for field in SOURCE}).alias("sources")
    )
    return every.groupby("picture").agg(col("sources").list_agg())


def _duplicates(workspace: Workspace) -> daft.DataFrame:
    frame = workspace.frame("deduplicate")
    assert frame is not None
    others = frame.where(col("dropped").not_null())
    lists = others.groupby("group").agg(col("face").list_agg().alias("duplicates"))
    return lists.select(col("group").alias("face"), "duplicates")


def _votes(workspace: Workspace) -> daft.DataFrame | None:
    frame = workspace.frame("votes")
    if frame is None:
        return None
    vote = to_struct(**{field.name: col(field.name) for field in VOTE})
    return frame.select("face", vote.alias("votes")).groupby("face").agg(col("votes").list_agg())


def write(frame: daft.DataFrame, folder: Path, name: str, parts: Mapping[str, int]) -> None:
    """Write `rows` as the store and the Hugging Face folder.

    name: the dataset's. parts: how many rows each has.
    """
    (folder / HUGGING_FACE / "data").mkdir(parents=True)
    first = frame.select("image").limit(1).to_pylist()[0]["image"]
    info = {
        "format": FORMAT,
        "dataset": name,
        "size": len(decode(first)),
        "landmarks": "ibug",
        "dropped": [],
    }
    with (
        StoreWriter(folder / STORE, info) as store,
        closing(_Shards(folder / HUGGING_FACE / "data", parts)) as shards,
    ):
        for chunk in _chunks(frame):
            store.write(pa.Table.from_pylist([_store_row(row) for row in chunk], SCHEMA))
            shards.write(chunk[0]["part"], [_features(row) for row in chunk])


def _chunks(frame: daft.DataFrame) -> Iterator[list[dict[str, Any]]]:
    """Up to CHUNK rows of one part, in their order."""
    for _, part in groupby(frame.iter_rows(), lambda row: row["part"]):
        yield from batched(part, CHUNK)


def batched(rows: Iterator[dict[str, Any]], count: int) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(rows, count)):
        yield batch


class _Shards:
    """train-00000-of-00011.parquet and so on, SHARD rows each."""

    def __init__(self, folder: Path, parts: Mapping[str, int]) -> None:
        self._folder, self._parts = folder, parts
        self._done: Counter[str] = Counter()
        self._writer: pq.ParquetWriter | None = None

    def write(self, part: str, rows: list[dict[str, Any]]) -> None:
        number, inside = divmod(self._done[part], SHARD)
        if not inside:
            self.close()
            count = -(-self._parts[part] // SHARD)
            file = self._folder / f"{part}-{number:05d}-of-{count:05d}.parquet"
            self._writer = pq.ParquetWriter(file, FEATURES)
        assert self._writer is not None
        self._writer.write_table(pa.Table.from_pylist(rows, FEATURES))
        self._done[part] += len(rows)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _store_row(row: Mapping[str, Any]) -> dict[str, Any]:
    sources = {each["source"] for each in row["sources"] or ()}
    return {
        "name": f"{row['part']}/{row['face']}.jpg",
        "image": row["image"],
        "key_points": row["key_points"],
        "age": row["age"],
        "age_deviation": row["age_deviation"],
        "person": row["person"],
        "source": min(sources, default="unknown"),
        "digest": row["picture"],
        "score": row["score"],
    }


def _features(row: Mapping[str, Any]) -> dict[str, Any]:
    lists = {name: row.get(name) or () for name in ("votes", "duplicates", "sources")}
    lists["sources"] = map(public, lists["sources"])
    lists = {name: sorted(each, key=str) for name, each in lists.items()}
    image = {"bytes": row["image"], "path": f"{row['face']}.jpg"}
    return {**row, **lists, "image": image, "coarse": json.dumps(row["by"])}


def public(source: Mapping[str, Any]) -> dict[str, Any]:
    """A source without the names of this machine's folders."""
    if source["source"] not in LOCAL:
        return dict(source)
    query = Path(source["query"])
    if source["source"] == "url_list":
        return {**source, "query": query.name}
    url = source["url"].removeprefix(query.absolute().as_uri()).lstrip("/")
    return {**source, "query": query.name, "url": url, "final_url": None}
