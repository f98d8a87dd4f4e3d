"""Queries → pictures: what the sources find, and what becomes of each URL once it is fetched."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import daft
import pyarrow as pa
from daft import col, lit
from tqdm import tqdm

from wrinkle.curation.web.addresses import normalise
from wrinkle.curation.web.fetch_many import fetch_all
from wrinkle.curation.config import LOCAL, Source
from wrinkle.curation.web.fetcher import Fetcher
from wrinkle.curation.web.fetch_result import Fetched, FetchError, Status
from wrinkle.curation.sources import Found, find, read_picture
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError

FOUND, STAGE = "found", "collect"
AT_ONCE = 1000
"""Fetched pictures of a part."""
REMOVED = "removed"

FOUND_SCHEMA = pa.schema(
    [
        ("search", pa.string()),  # source and query
        ("address", pa.string()),  # the URL as it is compared with others
        ("dropped", pa.string()),
        ("detail", pa.string()),
        *((name, pa.string()) for name in ("url", "query", "source", "licence", "page", "title")),
        ("creator", pa.string()),
        ("person", pa.string()),
    ]
)
"""A row for everything that a source names, and one for a search that found nothing."""

SCHEMA = pa.schema(
    [
        ("address", pa.string()),
        ("dropped", pa.string()),
        ("detail", pa.string()),
        ("picture", pa.string()),  # SHA-256 of the bytes
        ("path", pa.string()),  # below the workspace
        ("final_url", pa.string()),
        ("fetched_at", pa.string()),  # UTC
        ("http_status", pa.int32()),
        ("content_type", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("bytes", pa.int64()),
    ]
)
"""A row for each address."""

PASSING = (Status.NO_CONNECTION, Status.NO_HOST, Status.TOO_SLOW, Status.CUT_SHORT)
"""What may go better another time."""


def search(workspace: Workspace, sources: Iterable[Source], fetcher: Fetcher) -> list[str]:
    """Ask the sources for what they have not been asked yet; returns what went wrong, a line each.

    A search is kept when it is whole, a failed one is made again by the next run.
    """
    done = set(workspace.table(FOUND, "search")["search"].to_pylist())
    gone = removed(workspace)
    todo = [(source, query) for source in sources for query in source.queries]
    todo = [each for each in todo if _name(*each) not in done]
    troubles = []
    for source, query in tqdm(todo, "search", leave=False, disable=None):
        try:
            found = list(find(source.source, fetcher, query, source.limit))
        except WrinkleError as error:
            troubles.append(str(error))
            continue
        rows = [_found(_name(source, query), each, source, gone) for each in found]
        rows = rows or [{"search": _name(source, query), "dropped": "nothing found"}]
        workspace.append(FOUND, daft.from_arrow(pa.Table.from_pylist(rows, FOUND_SCHEMA)))
    return troubles


def _name(source: Source, query: str) -> str:
    """What tells a search from others; a larger limit is another one."""
    return json.dumps([source.source, query, source.limit], ensure_ascii=False)


def _found(search: str, found: Found, source: Source, gone: frozenset[str]) -> dict[str, Any]:
    row = {"search": search, **asdict(found)}
    if source.people:
        row["person"] = Path(found.query).stem if source.source in LOCAL else found.query
    try:
        row["address"] = found.url if source.source == "folder" else normalise(found.url)
    except FetchError as error:
        return row | {"dropped": str(error.status), "detail": error.detail}
    if key(row["address"]) in gone or (row["person"] and key(row["person"]) in gone):
        return {"search": search, "dropped": REMOVED}
    return row


def collect(workspace: Workspace, fetcher: Fetcher) -> None:
    """Fetch every address that was found once; what is kept lies in ROOT/pictures."""
    frame = workspace.frame(FOUND)
    if frame is None:
        return
    first = [col(name).min() for name in ("source", "query")]  # any will do: the same every time
    wanted = frame.where(col("address").not_null()).groupby("address").agg(*first)
    todo = wanted.sort("address").to_arrow()
    gone = removed(workspace)

    def work(rows: pa.Table) -> Iterator[dict[str, Any]]:
        for fetched in _fetch(rows, fetcher):
            yield _keep(workspace, fetched, gone)

    workspace.stream(STAGE, todo, SCHEMA, work, AT_ONCE)


def forget_passing(workspace: Workspace) -> None:
    """Let what failed for a passing reason be asked for again: no connection, too slow, busy."""
    frame = workspace.frame(STAGE)
    if frame is not None:
        busy = (col("http_status") == lit(429)) | (col("http_status") >= lit(500))
        passing = col("dropped").is_in([str(status) for status in PASSING]) | busy
        workspace.replace(STAGE, frame.where(~passing.fill_null(False)))


def removed(workspace: Workspace) -> frozenset[str]:
    """Digests of the addresses and pictures that must not come back."""
    return frozenset(workspace.table(REMOVED, "key")["key"].to_pylist())


def key(address: str) -> str:
    """What stays of an address that was removed."""
    return hashlib.sha256(address.encode("utf-8", "surrogateescape")).hexdigest()


def _fetch(rows: pa.Table, fetcher: Fetcher) -> Iterator[Fetched]:
    web = []
    for row in rows.to_pylist():
        if row["source"] == "folder":
            found = Found(row["address"], row["query"], row["source"])
            yield read_picture(found, fetcher.limits)
        else:
            web.append(row["address"])
    yield from fetch_all(fetcher, web)


def _keep(workspace: Workspace, fetched: Fetched, gone: frozenset[str]) -> dict[str, Any]:
    """The row of what was fetched, its picture being on disk."""
    row: dict[str, Any] = {
        "address": fetched.url,
        "final_url": fetched.final_url,
        "fetched_at": fetched.fetched_at.isoformat(timespec="seconds"),
        "http_status": fetched.http_status,
        "content_type": fetched.content_type,
    }
    if fetched.data is None or fetched.sha256 is None:
        return row | {"dropped": str(fetched.status), "detail": fetched.detail}
    if fetched.sha256 in gone:
        return row | {"dropped": REMOVED}
    workspace.keep_picture(fetched.sha256, fetched.data)
    return row | {
        "picture": fetched.sha256,
        "path": workspace.picture(fetched.sha256).relative_to(workspace.root).as_posix(),
        "width": fetched.width,
        "height": fetched.height,
        "bytes": len(fetched.data),
    }
