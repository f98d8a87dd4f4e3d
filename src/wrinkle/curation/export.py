"""The dataset as files: wrinkle's own store, and a folder for Hugging Face `datasets`.

The rows of the Hugging Face folder have each face's sources and every answer about its age.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import daft
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from daft import col, lit
from daft.functions import to_struct

from wrinkle.curation.config import public_title
from wrinkle.curation.sources import source_class
from wrinkle.curation.stages.split import ENDS
from wrinkle.curation.workspace import Workspace
from wrinkle.datasets.store import FORMAT, SCHEMA, StoreWriter
from wrinkle.errors import WrinkleError
from wrinkle.faces.decode import decode

FOLDER = "export"
STORE = "faces.arrow"
HUGGING_FACE = "huggingface"
PARTS = ("train", "test")
SHARD, CHUNK = 10_000, 1000
"""Faces in a Parquet file, about 200 MB, and in memory at a time."""
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
        ("age", pa.float64()),  # null where only a range is known
        ("age_low", pa.int16()),  # first and last year of that range
        ("age_high", pa.int16()),
        ("age_deviation", pa.float64()),
        ("face", pa.string()),
        ("picture", pa.string()),  # SHA-256 of the picture it was cropped from
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
        ("duplicates", pa.list_(pa.string())),  # near-identical faces that were dropped
        ("sources", pa.list_(SOURCE)),
    ],
    {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})},
)
"""Columns of the Hugging Face folder; the metadata declares that `image` is a picture."""


def delete(workspace: Workspace) -> None:
    """Delete the export, and unfinished ones of killed runs.

    Raises:
        WrinkleError: a folder cannot be deleted.
    """
    for name in (FOLDER, f"{FOLDER}.part", f"{FOLDER}.old"):
        folder = workspace.root / name
        try:
            if folder.exists():
                shutil.rmtree(folder)
        except OSError as error:
            raise WrinkleError(f"cannot delete {folder}: {error.strerror}; run again") from error


def rows(workspace: Workspace) -> daft.DataFrame:
    """The faces of the dataset, with everything in the stages' tables except their crops."""
    split, faces, coarse = map(workspace.frame, ("split", "faces", "coarse_label"))
    assert split is not None
    assert faces is not None
    assert coarse is not None
    known = faces.exclude("dropped", "detail", "picture", "digest", "image")
    frame = split.join(known, on="face")
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
    return frame.sort("face")


def pictures(workspace: Workspace, faces: Sequence[str]) -> dict[str, bytes]:
    """Face → JPEG.

    Args:
        faces: sorted, so that few files are read.

    Raises:
        WrinkleError: a face has no crop.
    """
    frame = workspace.frame("faces")
    assert frame is not None
    near = frame.where((col("face") >= lit(faces[0])) & (col("face") <= lit(faces[-1])))
    rows = near.where(col("face").is_in(list(faces))).select("face", "image").to_pydict()
    found = dict(zip(rows["face"], rows["image"], strict=True))
    for face in faces:
        if not found.get(face):
            raise WrinkleError(f"face {face} has no picture: find the faces again")
    return found


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


def write(workspace: Workspace, folder: Path, name: str) -> None:
    """Write the store and the Hugging Face folder; `name` is the dataset's."""
    data = folder / HUGGING_FACE / "data"
    data.mkdir(parents=True)
    table = rows(workspace).to_arrow()
    first = table["face"][0].as_py()
    info = {
        "format": FORMAT,
        "dataset": name,
        "size": len(decode(pictures(workspace, [first])[first])),
        "landmarks": "ibug",
        "dropped": [],
    }
    with StoreWriter(folder / STORE, info) as store:
        for file, shard in shards(table):
            with pq.ParquetWriter(data / file, FEATURES) as parquet:
                for start in range(0, len(shard), CHUNK):
                    some = shard.slice(start, CHUNK).to_pylist()
                    images = pictures(workspace, [row["face"] for row in some])
                    some = [row | {"image": images[row["face"]]} for row in some]
                    store.write(pa.Table.from_pylist(list(map(_store_row, some)), SCHEMA))
                    parquet.write_table(pa.Table.from_pylist(list(map(_features, some)), FEATURES))


def shards(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Rows for train-00000-of-00011.parquet and so on, SHARD of them each."""
    for part in PARTS:
        some = table.filter(pc.equal(table["part"], part))
        count = -(-len(some) // SHARD)
        for number in range(count):
            yield f"{part}-{number:05d}-of-{count:05d}.parquet", some.slice(number * SHARD, SHARD)


def _store_row(row: Mapping[str, Any]) -> dict[str, Any]:
    sources = {each["source"] for each in row["sources"] or ()}
    return {
        "name": f"{row['part']}/{row['face']}.jpg",
        "image": row["image"],
        "key_points": row["key_points"],
        **_label(row),
        "person": row["person"],
        "source": min(sources, default="unknown"),
        "digest": row["picture"],
        "score": row["score"],
    }


def _label(row: Mapping[str, Any]) -> dict[str, float | None]:
    """A face's age, or the range in its place."""
    ends = {name: None if row[name] is None else int(row[name]) for name in ENDS}
    age = row["age"] if ends["age_low"] is None else None
    return {"age": age, **ends, "age_deviation": row["age_deviation"]}


def _features(row: Mapping[str, Any]) -> dict[str, Any]:
    lists = {name: row.get(name) or () for name in ("votes", "duplicates", "sources")}
    lists["sources"] = map(public, lists["sources"])
    lists = {name: sorted(each, key=str) for name, each in lists.items()}
    image = {"bytes": row["image"], "path": f"{row['face']}.jpg"}
    coarse = {public_title(annotator): age for annotator, age in (row["by"] or {}).items()}
    return {**row, **lists, **_label(row), "image": image, "coarse": json.dumps(coarse)}


def public(source: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `SOURCE` without the names of this machine's folders."""
    kind = source_class(source["source"])
    if not kind.queries_are_paths:
        return dict(source)
    query = Path(source["query"])
    if not kind.gives_files:
        return {**source, "query": query.name}
    folder = Path(os.path.abspath(query)).as_uri().rstrip("/") + "/"
    inside = source["url"].startswith(folder)
    url = source["url"].removeprefix(folder) if inside else source["url"].rpartition("/")[2]
    return {**source, "query": query.name, "url": url, "final_url": None}
