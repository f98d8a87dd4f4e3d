"""Taking somebody out: a face, a person or a URL, from every stage and export, for good.

A picture goes as a whole, with every face in it and with all pictures of the same bytes or of a
near-identical face. What stays are digests, so that it does not come back. They are written down
first and all else follows from them: what a kill left undone, the next command in that workspace
does.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import daft
import numpy as np
import pyarrow as pa
from daft import Expression, col, lit
from daft.functions import when

from wrinkle.curation.stages import coarse_label, collect
from wrinkle.curation import export
from wrinkle.curation.people import refine
from wrinkle.curation.web.addresses import normalise
from wrinkle.curation.config import Config, Source
from wrinkle.curation.web.fetch_result import FetchError
from wrinkle.curation.workspace import Workspace
from wrinkle.duplicates.near_duplicates import NEAR
from wrinkle.errors import WrinkleError

OF_FACES = ("split", "refine", "votes", "coarse_label", "deduplicate")
SCHEMA = pa.schema([("key", pa.string()), ("hash", pa.uint64()), ("removed_at", pa.string())])
"""Digests of addresses, names and pictures, and the perceptual hashes of the pictures' faces."""


@dataclass(frozen=True)
class Removed:
    """How much went."""

    urls: int
    pictures: int
    faces: int


def remove(
    workspace: Workspace,
    urls: Collection[str] = (),
    persons: Collection[str] = (),
    faces: Collection[str] = (),
    settings: refine.Settings | None = None,
) -> Removed:
    """Take out all that the URLs, persons and faces lead to; the export is deleted.

    settings: of the server where people are asked, whose tasks are deleted first; None: there is
    none.

    Raises:
        WrinkleError: one of the names is not known here, or the server cannot be asked; nothing is
            removed then.
    """
    _settle(workspace)
    wanted = {name for url in urls for name in (url, _address(url))}
    found = workspace.table("found", "url", "address", "person").to_pylist()
    fetched = workspace.table("collect", "address", "final_url", "picture").to_pylist()
    gone = collect.removed(workspace)
    spelt = ("url", "address", "final_url")
    _check(urls, {r.get(name) for r in (*found, *fetched) for name in spelt}, gone)
    _check(persons, {r["person"] for r in found}, gone)
    _check(faces, {*_faces(workspace), *(r["picture"] for r in fetched)}, gone)

    addresses = {
        *(r["address"] for r in found if {r["url"], r["address"]} & wanted),
        *(r["address"] for r in found if r["person"] in persons),
        *(r["address"] for r in fetched if {r["address"], r["final_url"]} & wanted),
    }
    pictures = {r["picture"] for r in fetched if r["address"] in addresses}
    pictures = _near(workspace, (pictures | set(map(picture_of, faces))) - {None})
    leading = [r for r in fetched if r["picture"] in pictures]
    addresses |= {r["address"] for r in leading}
    names = [name for name in _faces(workspace) if picture_of(name) in pictures]
    if settings is not None:
        refine.remove(workspace, settings, names)
    texts = {*addresses, *wanted, *persons, *(r["final_url"] for r in leading)} - {None}
    keys = (pictures | set(map(collect.key, texts))) - gone
    if keys:
        _write_down(workspace, keys, pictures)
    finish(workspace)
    return Removed(
        urls=len(addresses - {None}),
        pictures=len({r["picture"] for r in leading}),
        faces=len(set(names) - pictures),  # where there is none, the picture stands for it
    )


def _check(names: Collection[str], known: Collection[str | None], gone: Collection[str]) -> None:
    """Each is known, or was and is gone."""
    for name in names:
        called = {name, _address(name)}
        keys = {picture_of(name), *map(collect.key, called)}
        if called.isdisjoint(known) and keys.isdisjoint(gone):
            raise WrinkleError(f"nothing here is known by {name}; nothing was removed")


def picture_of(face: str) -> str:
    """The digest of the picture that a face was cut out of."""
    return face.partition("-")[0]


def _faces(workspace: Workspace) -> list[str]:
    """All that any table speaks of, pictures without one among them."""
    tables = ("faces", *OF_FACES)
    return sorted({face for stage in tables for face in _column(workspace, stage, "face")})


def _near(workspace: Workspace, pictures: set[str]) -> set[str]:
    """With the pictures that have a face near-identical to one in these."""
    groups = workspace.table("deduplicate", "face", "group").to_pylist()
    here = {row["group"] for row in groups if picture_of(row["face"]) in pictures}
    chained = {picture_of(row["face"]) for row in groups if row["group"] in here}
    table = workspace.table("faces", "picture", "hash")
    table = table.filter(table["hash"].is_valid())
    names, hashes = table["picture"].to_numpy(), table["hash"].to_numpy().astype(np.uint64)
    for own in hashes[np.isin(names, list(pictures))]:
        chained.update(names[np.bitwise_count(hashes ^ own) < NEAR].tolist())
    return pictures | chained


def returned(workspace: Workspace) -> list[str]:
    """Faces near-identical to one that was removed: its photograph, from somewhere else."""
    gone = [each for each in _column(workspace, collect.REMOVED, "hash") if each is not None]
    table = workspace.table("faces", "face", "hash")
    table = table.filter(table["hash"].is_valid())
    hashes = table["hash"].to_numpy().astype(np.uint64)
    near = np.zeros(len(hashes), bool)
    for each in gone:
        near |= np.bitwise_count(hashes ^ np.uint64(each)) < NEAR
    names: list[str] = table["face"].filter(pa.array(near)).to_pylist()
    return names


def _write_down(workspace: Workspace, keys: Collection[str], pictures: Collection[str]) -> None:
    """From here on the removal is certain."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    rows: list[dict[str, object]] = [{"key": each, "removed_at": now} for each in sorted(keys)]
    for face in workspace.table("faces", "picture", "hash").to_pylist():
        if face["picture"] in pictures and face["hash"] is not None:
            rows.append({"key": face["picture"], "hash": face["hash"], "removed_at": now})
    workspace.write_note(collect.REMOVED, {"unfinished": True})
    workspace.append(collect.REMOVED, daft.from_arrow(pa.Table.from_pylist(rows, SCHEMA)))


def finish(workspace: Workspace) -> None:
    """Do what a removal that was written down has not done yet."""
    if not (workspace.note(collect.REMOVED) or {}).get("unfinished"):
        return
    gone = collect.removed(workspace)
    export.delete(workspace)
    within = _among(col("face").split("-").get(0), gone)
    for stage in OF_FACES:
        _drop(workspace, stage, within)
    faces = workspace.frame("faces")
    if faces is not None:
        shown = faces.where(_among(col("picture"), gone) & col("digest").not_null())
        crops = shown.select("digest").to_pydict()["digest"]
        for stage in _answers(workspace):
            _drop(workspace, stage, _among(col("digest"), crops))
    _drop(workspace, "faces", _among(col("picture"), gone))  # after the answers, which it leads to
    _forget_strays(workspace)
    fetched = workspace.table("collect", "address", "picture").to_pylist()
    lost = [r["address"] for r in fetched if {r["picture"], collect.key(r["address"])} & gone]
    _drop(workspace, "collect", _among(col("address"), lost))
    _blank(workspace, gone)
    _sweep(workspace)
    workspace.write_note(collect.REMOVED, {"unfinished": False})


def _forget_strays(workspace: Workspace) -> None:
    """Answers to crops that other rules once made lead to no picture: any could be of whoever goes.

    Where no faces are found at the moment, nothing is known of any answer, and all stay.
    """
    faces = workspace.frame("faces")
    if faces is None:
        return
    shown = faces.where(col("digest").not_null()).select("digest").distinct()
    for stage in _answers(workspace):
        answers = workspace.frame(stage)
        if answers is not None and answers.join(shown, on="digest", how="anti").count_rows():
            workspace.replace(stage, answers.join(shown, on="digest", how="semi"))


def without(config: Config, workspace: Workspace) -> Config:
    """A configuration that no longer asks for people who were removed, though its file may."""
    gone = collect.removed(workspace)

    def left(source: Source) -> Source:
        asked = source.queries
        if source.people:
            asked = tuple(query for query in asked if collect.key(query) not in gone)
        return source.model_copy(update={"queries": asked})

    sources = tuple(map(left, config.collect.sources))
    return config.model_copy(
        update={"collect": config.collect.model_copy(update={"sources": sources})}
    )


def _blank(workspace: Workspace, gone: Collection[str]) -> None:
    """Rows of table found that are left say only that the search was made.

    A search for a person's name is forgotten as a whole: its row would hold the name.
    """
    frame = workspace.frame("found")
    if frame is None:
        return

    def among(column: str) -> Expression:
        values = set(_column(workspace, "found", column)) - {None}
        return _among(col(column), [each for each in values if collect.key(each) in gone])

    searches = set(_column(workspace, "found", "search"))
    named = [each for each in searches if collect.key(json.loads(each)[1]) in gone]
    person = among("person")
    forgotten = _among(col("search"), named) & (person | col("address").is_null())
    blank = among("address") | among("url") | person
    if not frame.where(forgotten | blank).count_rows():
        return
    empty = {
        name: when(blank, lit(None)).otherwise(col(name))
        for name in collect.FOUND_SCHEMA.names
        if name not in ("search", "dropped")
    }
    dropped = when(blank, collect.REMOVED).otherwise(col("dropped"))
    left = frame.where(~forgotten)
    workspace.replace("found", left.with_columns({**empty, "dropped": dropped}))


def _sweep(workspace: Workspace) -> None:
    """Delete the pictures of which no table speaks; a kill may have left some."""
    named = set(_column(workspace, collect.STAGE, "picture"))
    for path in (workspace.root / "pictures").glob("*/*"):
        if path.name not in named:
            path.unlink()


def _drop(workspace: Workspace, stage: str, condition: Expression) -> None:
    """Without the rows for which it holds; a table that has none stays as it is."""
    frame = workspace.frame(stage)
    if frame is not None and frame.where(condition).count_rows():
        workspace.replace(stage, frame.where(~condition))


def _among(column: Expression, values: Collection[str]) -> Expression:
    """Never null; false where the column is."""
    return column.is_in(list(values)).fill_null(lit(False)) if values else lit(False)


def _column(workspace: Workspace, stage: str, column: str) -> list[Any]:
    values: list[Any] = workspace.table(stage, column)[column].to_pylist()
    return values


def _address(url: str) -> str:
    try:
        return normalise(url)
    except FetchError:
        return url


def _answers(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in workspace.root.glob("answers-*") if path.is_dir())


def _settle(workspace: Workspace) -> None:
    """What a killed run left in journals becomes parts."""
    workspace.settle(collect.STAGE, collect.SCHEMA)
    for stage in _answers(workspace):
        workspace.settle(stage, coarse_label.SCHEMA)
