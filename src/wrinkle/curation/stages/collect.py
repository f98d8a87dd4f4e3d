"""Queries → pictures: what the sources find, and the result of fetching each URL."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import daft
import pyarrow as pa
from daft import col, lit

from wrinkle.console import progress
from wrinkle.curation.config import SourceSection
from wrinkle.curation.sources import SearchResult, find, source_class
from wrinkle.curation.sources.local_files import read_file
from wrinkle.curation.stages.context import StageContext
from wrinkle.curation.web.addresses import normalise
from wrinkle.curation.web.fetch_many import fetch_many
from wrinkle.curation.web.fetch_result import FetchError, FetchResult, Status
from wrinkle.curation.web.fetcher import Fetcher
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError

FOUND, STAGE = "found", "collect"
AT_ONCE = 1000
"""Fetched pictures of a part."""
REMOVED = "removed"
"""The table of what was removed; also the reason in other tables."""

FOUND_SCHEMA = pa.schema(
    [
        ("search", pa.string()),  # source, query, limit and the source's own settings
        ("address", pa.string()),  # the URL in the form in which URLs are compared
        ("dropped", pa.string()),
        ("detail", pa.string()),
        *((name, pa.string()) for name in ("url", "query", "source", "licence", "page", "title")),
        ("creator", pa.string()),
        ("person", pa.string()),
    ]
)
"""A row for each search result, and one for a search without any."""

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

TEMPORARY = (Status.NO_CONNECTION, Status.NO_HOST, Status.TOO_SLOW, Status.CUT_SHORT)
"""Errors that may not occur another time."""


def run(context: StageContext) -> bool:
    """Search and fetch what is missing.

    Raises:
        WrinkleError: no picture was ever found.
    """
    workspace, config = context.workspace, context.config
    section = config.collect
    fetcher = context.fetcher or Fetcher(config.contact, section.limits, section.permitted)
    context.problems.extend(search(workspace, section.sources, fetcher))
    collect(workspace, fetcher)
    if not workspace.parts(STAGE):
        found_nothing = "no source has found a picture: see `wrinkle curate status CONFIG`"
        raise WrinkleError("; ".join(context.problems) or found_nothing)
    return True


def search(workspace: Workspace, sources: Iterable[SourceSection], fetcher: Fetcher) -> list[str]:
    """Make the searches that were not made yet; returns what went wrong, a line each.

    The results of a search are stored together; the next run makes a failed search again.
    """
    done = set(workspace.table(FOUND, "search")["search"].to_pylist())
    gone = removed(workspace)
    todo = [(source, query) for source in sources for query in source.queries]
    todo = [each for each in todo if _name(*each) not in done]
    problems = []
    for source, query in progress(todo, "search", "query"):
        try:
            found = list(find(source.source, fetcher, query, source.limit, source.fields))
        except WrinkleError as error:
            problems.append(str(error))
            continue
        rows = [_found_row(_name(source, query), each, source, gone) for each in found]
        rows = rows or [{"search": _name(source, query), "dropped": "nothing found"}]
        workspace.append(FOUND, daft.from_arrow(pa.Table.from_pylist(rows, FOUND_SCHEMA)))
    return problems


def _name(source: SourceSection, query: str) -> str:
    """Identifies a search; one with a larger limit or other settings is another search."""
    name = [source.source, query, source.limit, *([source.fields] if source.fields else [])]
    return json.dumps(name, ensure_ascii=False)


def _found_row(
    search: str, found: SearchResult, source: SourceSection, gone: frozenset[str]
) -> dict[str, Any]:
    kind = source_class(source.source)
    row = {"search": search, **asdict(found)}
    if source.people:
        row["person"] = Path(found.query).stem if kind.queries_are_paths else found.query
    try:
        row["address"] = found.url if kind.gives_files else normalise(found.url)
    except FetchError as error:
        return row | {"dropped": str(error.status), "detail": error.detail}
    if key(row["address"]) in gone or (row["person"] and key(row["person"]) in gone):
        return {"search": search, "dropped": REMOVED}
    return row


def collect(workspace: Workspace, fetcher: Fetcher) -> None:
    """Fetch every address once; pictures are kept in ROOT/pictures."""
    frame = workspace.frame(FOUND)
    if frame is None:
        return
    first = [col(name).min() for name in ("source", "query")]  # any one, but always the same
    wanted = frame.where(col("address").not_null()).groupby("address").agg(*first)
    todo = wanted.sort("address").to_arrow()
    gone = removed(workspace)

    def work(rows: pa.Table) -> Iterator[dict[str, Any]]:
        for result in _fetch(rows, fetcher):
            yield _keep(workspace, result, gone)

    workspace.stream(STAGE, todo, SCHEMA, work, AT_ONCE)


def forget_temporary_errors(workspace: Workspace) -> None:
    """Let the next run fetch again what failed temporarily: no connection, too slow, busy."""
    frame = workspace.frame(STAGE)
    if frame is not None:
        busy = (col("http_status") == lit(429)) | (col("http_status") >= lit(500))
        temporary = col("dropped").is_in([str(status) for status in TEMPORARY]) | busy
        workspace.replace(STAGE, frame.where(~temporary.fill_null(False)))


def removed(workspace: Workspace) -> frozenset[str]:
    """Digests of the addresses and pictures that must not come back."""
    return frozenset(workspace.table(REMOVED, "key")["key"].to_pylist())


def key(address: str) -> str:
    """The digest that is kept of an address or a name that was removed."""
    return hashlib.sha256(address.encode("utf-8", "surrogateescape")).hexdigest()


def _fetch(rows: pa.Table, fetcher: Fetcher) -> Iterator[FetchResult]:
    web = []
    for row in rows.to_pylist():
        if source_class(row["source"]).gives_files:
            found = SearchResult(row["address"], row["query"], row["source"])
            yield read_file(found, fetcher.limits)
        else:
            web.append(row["address"])
    yield from fetch_many(fetcher, web)


def _keep(workspace: Workspace, result: FetchResult, gone: frozenset[str]) -> dict[str, Any]:
    """The row of a result, after its picture was written."""
    row: dict[str, Any] = {
        "address": result.url,
        "final_url": result.final_url,
        "fetched_at": result.fetched_at.isoformat(timespec="seconds"),
        "http_status": result.http_status,
        "content_type": result.content_type,
    }
    if result.data is None or result.sha256 is None:
        return row | {"dropped": str(result.status), "detail": result.detail}
    if result.sha256 in gone:
        return row | {"dropped": REMOVED}
    workspace.keep_picture(result.sha256, result.data)
    return row | {
        "picture": result.sha256,
        "path": workspace.picture(result.sha256).relative_to(workspace.root).as_posix(),
        "width": result.width,
        "height": result.height,
        "bytes": len(result.data),
    }
