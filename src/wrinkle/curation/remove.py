"""Removing a face, a person or a URL from every stage and export, permanently.

A picture is removed with all its faces, and with it all pictures of the same bytes or of a
near-identical face. Digests are kept so that it does not come back. They are written first and
decide what is deleted: after a kill, the next command in the workspace finishes the removal.
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

from wrinkle.curation import export
from wrinkle.curation.config import Config, Refine, SourceSection
from wrinkle.curation.people import refine
from wrinkle.curation.stages import coarse_label, collect
from wrinkle.curation.web.addresses import normalise
from wrinkle.curation.web.fetch_result import FetchError
from wrinkle.curation.workspace import Workspace
from wrinkle.duplicates.near_duplicates import NEAR
from wrinkle.errors import WrinkleError

OF_FACES = ("split", "refine", "votes", "coarse_label", "deduplicate")
SCHEMA = pa.schema([("key", pa.string()), ("hash", pa.uint64()), ("removed_at", pa.string())])
"""Digests of addresses, names and pictures, and perceptual hashes of the pictures' faces."""


@dataclass(frozen=True)
class Removed:
    """How many items were removed."""

    urls: int
    pictures: int
    faces: int


def remove(
    workspace: Workspace,
    urls: Collection[str] = (),
    persons: Collection[str] = (),
    faces: Collection[str] = (),
    settings: Refine | None = None,
) -> Removed:
    """Remove everything that belongs to the URLs, persons and faces; the export is deleted.

    Args:
        settings: of the server where people are asked, whose tasks are deleted first; None: nobody
            is asked.

    Raises:
        WrinkleError: one of the names is unknown here, or the server fails; nothing is removed
            then.
    """
    _close_journals(workspace)
    wanted = {name for url in urls for name in (url, _address(url))}
    found = workspace.table("found", "url", "address", "person").to_pylist()
    fetched = workspace.table("collect", "address", "final_url", "picture").to_pylist()
    gone = collect.removed(workspace)
    columns = ("url", "address", "final_url")
    _check(urls, {r.get(name) for r in (*found, *fetched) for name in columns}, gone)
    _check(persons, {r["person"] for r in found}, gone)
    _check(faces, {*_faces(workspace), *(r["picture"] for r in fetched)}, gone)

    addresses = {
        *(r["address"] for r in found if {r["url"], r["address"]} & wanted),
        *(r["address"] for r in found if r["person"] in persons),
        *(r["address"] for r in fetched if {r["address"], r["final_url"]} & wanted),
    }
    pictures = {r["picture"] for r in fetched if r["address"] in addresses}
    pictures = _near(workspace, (pictures | set(map(picture_of, faces))) - {None})
    rows = [r for r in fetched if r["picture"] in pictures]
    addresses |= {r["address"] for r in rows}
    names = [name for name in _faces(workspace) if picture_of(name) in pictures]
    if settings is not None:
        refine.remove(workspace, settings, names)
    texts = {*addresses, *wanted, *persons, *(r["final_url"] for r in rows)} - {None}
    keys = (pictures | set(map(collect.key, texts))) - gone
    if keys:
        _record(workspace, keys, pictures)
    finish(workspace)
    return Removed(
        urls=len(addresses - {None}),
        pictures=len({r["picture"] for r in rows}),
        faces=len(set(names) - pictures),  # a picture without faces is named like its picture
    )


def _check(names: Collection[str], known: Collection[str | None], gone: Collection[str]) -> None:
    """Each name is known, or was removed before."""
    for name in names:
        forms = {name, _address(name)}
        keys = {picture_of(name), *map(collect.key, forms)}
        if forms.isdisjoint(known) and keys.isdisjoint(gone):
            raise WrinkleError(f"nothing here is known as {name}; nothing was removed")


def picture_of(face: str) -> str:
    """The digest of the picture that a face was cropped from."""
    return face.partition("-")[0]


def _faces(workspace: Workspace) -> list[str]:
    """The names in column face of all tables, those of pictures without faces among them."""
    tables = ("faces", *OF_FACES)
    return sorted({face for stage in tables for face in _column(workspace, stage, "face")})


def _near(workspace: Workspace, pictures: set[str]) -> set[str]:
    """These pictures and those with a face near-identical to one of theirs."""
    rows = workspace.table("deduplicate", "face", "group").to_pylist()
    groups = {row["group"] for row in rows if picture_of(row["face"]) in pictures}
    near = {picture_of(row["face"]) for row in rows if row["group"] in groups}
    table = workspace.table("faces", "picture", "hash")
    table = table.filter(table["hash"].is_valid())
    names, hashes = table["picture"].to_numpy(), table["hash"].to_numpy().astype(np.uint64)
    for own in hashes[np.isin(names, list(pictures))]:
        near.update(names[np.bitwise_count(hashes ^ own) < NEAR].tolist())
    return pictures | near


def returned(workspace: Workspace) -> list[str]:
    """Faces near-identical to one that was removed: the same photograph from elsewhere."""
    gone = [each for each in _column(workspace, collect.REMOVED, "hash") if each is not None]
    table = workspace.table("faces", "face", "hash")
    table = table.filter(table["hash"].is_valid())
    hashes = table["hash"].to_numpy().astype(np.uint64)
    near = np.zeros(len(hashes), bool)
    for each in gone:
        near |= np.bitwise_count(hashes ^ np.uint64(each)) < NEAR
    names: list[str] = table["face"].filter(pa.array(near)).to_pylist()
    return names


def _record(workspace: Workspace, keys: Collection[str], pictures: Collection[str]) -> None:
    """Write the digests; from here on the removal will be finished."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    rows: list[dict[str, object]] = [{"key": each, "removed_at": now} for each in sorted(keys)]
    for face in workspace.table("faces", "picture", "hash").to_pylist():
        if face["picture"] in pictures and face["hash"] is not None:
            rows.append({"key": face["picture"], "hash": face["hash"], "removed_at": now})
    workspace.write_note(collect.REMOVED, {"unfinished": True})
    workspace.append(collect.REMOVED, daft.from_arrow(pa.Table.from_pylist(rows, SCHEMA)))


def finish(workspace: Workspace) -> None:
    """Finish a removal whose digests were written, if there is one."""
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
    _drop(workspace, "faces", _among(col("picture"), gone))  # after the answers, which need it
    _forget_old_answers(workspace)
    fetched = workspace.table("collect", "address", "picture").to_pylist()
    lost = [r["address"] for r in fetched if {r["picture"], collect.key(r["address"])} & gone]
    _drop(workspace, "collect", _among(col("address"), lost))
    _blank(workspace, gone)
    _delete_unnamed_pictures(workspace)
    workspace.write_note(collect.REMOVED, {"unfinished": False})


def _forget_old_answers(workspace: Workspace) -> None:
    """Delete answers to crops made by earlier rules: they may show a removed person.

    Without a table of faces, nothing is known about any answer, and all are kept.
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
    """The configuration without queries for people who were removed."""
    gone = collect.removed(workspace)

    def filtered(source: SourceSection) -> SourceSection:
        queries = source.queries
        if source.people:
            queries = tuple(query for query in queries if collect.key(query) not in gone)
        return source.model_copy(update={"queries": queries})

    sources = tuple(map(filtered, config.collect.sources))
    return config.model_copy(
        update={"collect": config.collect.model_copy(update={"sources": sources})}
    )


def _blank(workspace: Workspace, gone: Collection[str]) -> None:
    """Empty the rows of table found about what was removed, so that the search counts as made.

    The rows of a search for a removed person's name are deleted: they contain the name.
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
    deleted = _among(col("search"), named) & (person | col("address").is_null())
    blank = among("address") | among("url") | person
    if not frame.where(deleted | blank).count_rows():
        return
    empty = {
        name: when(blank, lit(None)).otherwise(col(name))
        for name in collect.FOUND_SCHEMA.names
        if name not in ("search", "dropped")
    }
    dropped = when(blank, collect.REMOVED).otherwise(col("dropped"))
    rest = frame.where(~deleted)
    workspace.replace("found", rest.with_columns({**empty, "dropped": dropped}))


def _delete_unnamed_pictures(workspace: Workspace) -> None:
    """Delete the pictures that no table names."""
    named = set(_column(workspace, collect.STAGE, "picture"))
    for path in (workspace.root / "pictures").glob("*/*"):
        if path.name not in named:
            path.unlink()


def _drop(workspace: Workspace, stage: str, condition: Expression) -> None:
    """Delete a table's rows for which the condition holds; write nothing if there are none."""
    frame = workspace.frame(stage)
    if frame is not None and frame.where(condition).count_rows():
        workspace.replace(stage, frame.where(~condition))


def _among(column: Expression, values: Collection[str]) -> Expression:
    """Whether the column has one of these values; false where it is null."""
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
    folders = {path.name for path in workspace.root.glob("answers-*") if path.is_dir()}
    journals = {path.stem for path in workspace.journal_file("*").parent.glob("answers-*.jsonl")}
    return sorted(folders | journals)


def _close_journals(workspace: Workspace) -> None:
    """Write the rows that a killed run left in journals as parts."""
    workspace.close_journal(collect.STAGE, collect.SCHEMA)
    for stage in _answers(workspace):
        workspace.close_journal(stage, coarse_label.SCHEMA)
