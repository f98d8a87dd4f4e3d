"""The dataset as files: wrinkle's own store, and a folder for Hugging Face `datasets`.

Every face keeps all that is known of where it comes from and who said what of its age.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import daft
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from daft import col, lit
from daft.exceptions import DaftCoreException
from daft.functions import to_struct

from wrinkle.curation.config import LOCAL, public_title
from wrinkle.curation.workspace import Workspace
from wrinkle.datasets.store import FORMAT, SCHEMA, StoreWriter
from wrinkle.errors import WrinkleError
from wrinkle.faces.decode import decode

FOLDER, NEW, OLD = "export", ".export-new", ".export-old"
STORE = "faces.arrow"
HUGGING_FACE = "huggingface"
PARTS = ("train", "test")
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
def anew(workspace: Workspace) -> Iterator[Path]:
    """A folder to fill, which takes the place of ROOT/export once it is whole.

    Raises:
        WrinkleError: the disk is full, say.
    """
    folder, new, old = (workspace.root / name for name in (FOLDER, NEW, OLD))
    try:
        _delete(new)
        new.mkdir()
        yield new
        _delete(old)
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
        _delete(old)
    except (DaftCoreException, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise WrinkleError(f"cannot write {folder}: {reason}; run again") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def delete(workspace: Workspace) -> None:
    """Delete the export, and what killed runs left of others; WrinkleError where that fails."""
    for name in (FOLDER, NEW, OLD):
        try:
            _delete(workspace.root / name)
        except OSError as error:
            raise WrinkleError(
                f"cannot delete {workspace.root / name}: {error.strerror}; run again"
            ) from error


def _delete(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def rows(workspace: Workspace) -> daft.DataFrame:
    """The faces of the dataset, with all that the stages know of them but their pictures."""
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
    """Face → JPEG; WrinkleError where one has none.

    faces: in their order, so that few files have to be read.
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
    coarse = {public_title(annotator): age for annotator, age in (row["by"] or {}).items()}
    return {**row, **lists, "image": image, "coarse": json.dumps(coarse)}


def public(source: Mapping[str, Any]) -> dict[str, Any]:
    """A source without the names of this machine's folders."""
    if source["source"] not in LOCAL:
        return dict(source)
    query = Path(source["query"])
    if source["source"] == "url_list":
        return {**source, "query": query.name}
    above = Path(os.path.abspath(query)).as_uri().rstrip("/") + "/"
    inside = source["url"].startswith(above)
    url = source["url"].removeprefix(above) if inside else source["url"].rpartition("/")[2]
    return {**source, "query": query.name, "url": url, "final_url": None}
