"""What lies on this machine: lists of URLs, and folders of pictures."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from wrinkle.curation.fetch import Fetcher, Limits
from wrinkle.curation.pictures import record
from wrinkle.curation.records import Answer, Fetched, FetchError, Status
from wrinkle.curation.sources.found import Found
from wrinkle.datasets.csv_files import read_table
from wrinkle.errors import WrinkleError
from wrinkle.faces.files import list_images

ABOUT = ("licence", "page", "title", "creator", "person")


def url_list(fetcher: Fetcher, query: str) -> Iterator[Found]:
    """The URLs of a file: one a line, or a .csv with a column url.

    A .csv may also have the columns licence, page, title, creator and person. UTF-8.
    """
    file = Path(query)
    if file.suffix.lower() == ".csv":
        for _, cells in read_table(file, ("url",)):
            about = {name: cells.get(name) or None for name in ABOUT}
            yield Found(cells["url"], query, "url_list", **about)
        return
    try:
        with file.open(encoding="utf-8-sig") as lines:
            yield from (Found(line.strip(), query, "url_list") for line in lines if line.strip())
    except UnicodeDecodeError:
        raise WrinkleError(f"{file} is not UTF-8 text: save it in UTF-8") from None
    except OSError as error:
        raise WrinkleError(f"cannot read {file}: {error.strerror}") from None


def folder(fetcher: Fetcher, query: str) -> Iterator[Found]:
    """The pictures of a folder and its subfolders, as file: URLs for `read_picture`."""
    if not os.path.isdir(query):
        raise WrinkleError(f"{query} is not a folder: name one that holds pictures")
    for path in list_images([query]):
        yield Found(Path(os.path.abspath(path)).as_uri(), query, "folder")


def read_picture(found: Found, limits: Limits) -> Fetched:
    """The picture of what `folder` found, judged like one from the web; never raises.

    Give it `folder`'s own finds only: a file: URL out of a list is a stranger's.
    """
    return record([found.url], lambda: _read(found, limits.size), limits.pixels)


def _read(found: Found, size: int) -> Answer:
    # `url2pathname` would spoil names that are not UTF-8.
    name = unquote(urlsplit(found.url).path, errors="surrogateescape")
    path = Path(name.removeprefix("/") if os.name == "nt" else name)
    try:
        there = path.resolve(strict=True)
        if not there.is_relative_to(Path(found.query).resolve()):
            raise FetchError(Status.OUTSIDE, f"it is {there}")
        if not there.is_file():
            raise FetchError(Status.UNREADABLE, "it is no file")
        if there.stat().st_size > size:
            raise FetchError(Status.TOO_LARGE, f"{there.stat().st_size:,}, the limit is {size:,}")
        return Answer(None, {}, there.read_bytes())
    except (OSError, RuntimeError) as error:  # the latter: links in a circle
        raise FetchError(Status.UNREADABLE, getattr(error, "strerror", "") or str(error)) from None
