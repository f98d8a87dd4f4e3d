"""Taking somebody out: a face, a person or a URL, from every stage and export, for good.

A picture goes as a whole, with every face in it and with all pictures of the same bytes or of a
near-identical face. What stays are digests, so that it does not come back. Tables by which the
pictures are found are changed last: after a kill the same command finishes the work.
"""

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

import daft
import pyarrow as pa
from daft import Expression, col, lit
from daft.functions import when

from wrinkle.curation import coarse_label, collect, export, refine
from wrinkle.curation.addresses import normalise
from wrinkle.curation.records import FetchError
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError

OF_FACES = ("split", "refine", "votes", "coarse_label")
SCHEMA = pa.schema([("key", pa.string()), ("removed_at", pa.string())])


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
        WrinkleError: nothing here is known by those names, or the server cannot be asked; nothing
            is removed then.
    """
    _settle(workspace)
    addresses = _addresses(workspace, urls, persons)
    pictures = _near(workspace, _pictures(workspace, addresses) | set(map(picture_of, faces)))
    addresses |= _leading_to(workspace, pictures)
    names = _faces(workspace, pictures)
    if not addresses and not names:
        given = ", ".join([*urls, *persons, *faces])
        raise WrinkleError(f"nothing in {workspace.root} is known by {given}")
    if settings is not None:
        refine.remove(workspace, settings, names)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    keys = sorted(pictures | set(map(collect.key, addresses)))
    gone = pa.table({"key": keys, "removed_at": [now] * len(keys)}, SCHEMA)
    workspace.append(collect.REMOVED, daft.from_arrow(gone))
    shutil.rmtree(workspace.root / export.FOLDER, ignore_errors=True)
    _drop_rows(workspace, addresses, pictures)
    return Removed(len(addresses), len(pictures), len(names))


def picture_of(face: str) -> str:
    """The digest of the picture that a face was cut out of."""
    return face.partition("-")[0]


def _drop_rows(workspace: Workspace, addresses: set[str], pictures: set[str]) -> None:
    within = _among(col("face").split("-").get(0), pictures)
    for stage in OF_FACES:
        _keep(workspace, stage, ~within)
    crops = workspace.frame("faces")
    if crops is not None:
        shown = crops.where(_among(col("picture"), pictures)).select("digest").to_pydict()
        for stage in _answers(workspace):
            _keep(workspace, stage, ~_among(col("digest"), shown["digest"]))
    _keep(workspace, "faces", ~_among(col("picture"), pictures))
    for picture in pictures:
        workspace.picture(picture).unlink(missing_ok=True)
    _keep(workspace, "deduplicate", ~within)
    _keep(workspace, "collect", ~_among(col("address"), addresses))
    found = workspace.frame("found")
    if found is not None:
        left_out = _among(col("address"), addresses)
        blank = {
            name: when(left_out, lit(None)).otherwise(col(name))
            for name in collect.FOUND_SCHEMA.names
            if name not in ("search", "dropped")
        }
        dropped = when(left_out, collect.REMOVED).otherwise(col("dropped"))
        workspace.replace("found", found.with_columns({**blank, "dropped": dropped}))


def _keep(workspace: Workspace, stage: str, condition: Expression) -> None:
    frame = workspace.frame(stage)
    if frame is not None:
        workspace.replace(stage, frame.where(condition))


def _among(column: Expression, values: Collection[str | None]) -> Expression:
    """Never null; false where the column is."""
    wanted = [value for value in values if value is not None]
    return column.is_in(wanted).fill_null(lit(False)) if wanted else lit(False)


def _addresses(workspace: Workspace, urls: Collection[str], persons: Collection[str]) -> set[str]:
    frame = workspace.frame("found")
    if frame is None:
        return set()
    named = _among(col("url"), urls) | _among(col("address"), list(map(_address, urls)))
    rows = frame.where(named | _among(col("person"), persons)).select("address").to_pydict()
    return set(filter(None, rows["address"]))


def _address(url: str) -> str:
    try:
        return normalise(url)
    except FetchError:
        return url


def _pictures(workspace: Workspace, addresses: set[str]) -> set[str]:
    frame = workspace.frame("collect")
    if frame is None:
        return set()
    rows = frame.where(_among(col("address"), addresses)).select("picture").to_pydict()
    return set(filter(None, rows["picture"]))


def _leading_to(workspace: Workspace, pictures: set[str]) -> set[str]:
    frame = workspace.frame("collect")
    if frame is None:
        return set()
    return set(
        frame.where(_among(col("picture"), pictures)).select("address").to_pydict()["address"]
    )


def _near(workspace: Workspace, pictures: set[str]) -> set[str]:
    """With the pictures whose faces are near-identical to one in these."""
    frame = workspace.frame("deduplicate")
    if frame is None:
        return pictures
    within = _among(col("face").split("-").get(0), pictures)
    groups = frame.where(within).select("group").to_pydict()["group"]
    faces = frame.where(_among(col("group"), groups)).select("face").to_pydict()["face"]
    return pictures | set(map(picture_of, faces))


def _faces(workspace: Workspace, pictures: set[str]) -> list[str]:
    frame = workspace.frame("faces")
    if frame is None:
        return []
    found = frame.where(_among(col("picture"), pictures) & col("box").not_null())
    return sorted(found.select("face").to_pydict()["face"])


def _answers(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in workspace.root.glob("answers-*") if path.is_dir())


def _settle(workspace: Workspace) -> None:
    """What a killed run left in journals becomes parts."""
    workspace.settle("collect", collect.SCHEMA)
    for stage in _answers(workspace):
        workspace.settle(stage, coarse_label.SCHEMA)
