"""Sources on this machine: lists of URLs, and folders of pictures."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from wrinkle.curation.sources import SOURCES, SearchResult, Source
from wrinkle.curation.web.fetch_result import Answer, FetchError, FetchResult, Status
from wrinkle.curation.web.fetcher import Fetcher, Limits
from wrinkle.curation.web.inspect_image import try_fetch
from wrinkle.errors import WrinkleError
from wrinkle.faces.files import SUFFIXES
from wrinkle.tables import read_table, read_text

ABOUT = ("licence", "page", "title", "creator", "person")


class LocalSource(Source):
    """A file or folder on this machine."""

    queries_are_paths = True

    def __init__(self, fetcher: Fetcher, /) -> None:
        pass


@SOURCES.named("url_list")
class UrlList(LocalSource):
    """The URLs in a text file: one a line, or a .csv with a column url.

    A .csv may also have the columns licence, page, title, creator and person.
    """

    rights = "as the list states, if it does"

    def search(self, query: str) -> Iterator[SearchResult]:
        """See `Source`."""
        file = Path(query)
        if file.suffix.lower() == ".csv":
            for number, cells in read_table(file, ("url",)).lines:
                if not cells["url"]:
                    raise WrinkleError(f"{file}, line {number}: no url")
                about = {name: cells.get(name) or None for name in ABOUT}
                yield SearchResult(cells["url"], query, "url_list", **about)
            return
        for line in filter(None, map(str.strip, read_text(file).splitlines())):
            yield SearchResult(line, query, "url_list")


@SOURCES.named("folder")
class Folder(LocalSource):
    """The pictures of a folder and its subfolders, as file: URLs for `read_file`."""

    rights = "known to the person who put the pictures there"
    gives_files = True

    def search(self, query: str) -> Iterator[SearchResult]:
        """See `Source`."""
        if not os.path.isdir(query):
            raise WrinkleError(f"{query} is not a folder: give one with pictures")
        paths = sorted(_picture_names(query))
        if not paths:
            raise WrinkleError(f"no picture found in {query!r} (looked for {' '.join(SUFFIXES)})")
        for path in paths:
            yield SearchResult(Path(os.path.abspath(path)).as_uri(), query, "folder")


def _picture_names(folder: str) -> Iterator[Path]:
    """Every file named like a picture, links and pipes too: `read_file` gives each a status."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield Path(parent, name)


def read_file(result: SearchResult, limits: Limits) -> FetchResult:
    """The picture of a source that gives files, checked like one from the web; never raises.

    Not for other sources: a file: URL from the web must not read this machine's files.
    """
    return try_fetch([result.url], lambda: _read(result, limits.size), limits.pixels)


def _read(result: SearchResult, size: int) -> Answer:
    # `url2pathname` breaks names that are not UTF-8.
    name = unquote(urlsplit(result.url).path, errors="surrogateescape")
    path = Path(name.removeprefix("/") if os.name == "nt" else name)
    try:
        target = path.resolve(strict=True)
        if not target.is_relative_to(Path(result.query).resolve()):
            raise FetchError(Status.OUTSIDE, f"it is {target}")
        if not target.is_file():
            raise FetchError(Status.UNREADABLE, "it is not a file")
        if target.stat().st_size > size:
            raise FetchError(Status.TOO_LARGE, f"{target.stat().st_size:,}, the limit is {size:,}")
        return Answer(None, {}, target.read_bytes())
    except (OSError, RuntimeError) as error:  # the latter: a cycle of links
        raise FetchError(Status.UNREADABLE, getattr(error, "strerror", "") or str(error)) from None
