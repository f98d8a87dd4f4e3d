"""Sources: a query → URLs of pictures, and what is known of them."""

from collections.abc import Callable, Iterator
from itertools import islice

from wrinkle.curation.fetch import Fetcher
from wrinkle.curation.sources import engines, interfaces, local
from wrinkle.curation.sources.found import Found
from wrinkle.curation.sources.local import read_picture
from wrinkle.errors import WrinkleError

__all__ = ["SOURCES", "Found", "find", "read_picture"]

SOURCES: dict[str, Callable[..., Iterator[Found]]] = {
    "google": engines.google,
    "bing": engines.bing,
    "baidu": engines.baidu,
    "yahoo": engines.yahoo,
    "wikimedia": interfaces.wikimedia,
    "openverse": interfaces.openverse,
    "url_list": local.url_list,
    "folder": local.folder,
}
"""Name → function of a fetcher and a query, lazy: it asks for a page when one is needed.

Those of the web also take the `base` of their addresses, for tests.
"""


def find(
    source: str, fetcher: Fetcher, query: str, limit: int, base: str | None = None
) -> Iterator[Found]:
    """The first `limit` pictures that a source has for a query.

    Args:
        source: a name of `SOURCES`.
        query: search words; the path of the file or folder for "url_list" and "folder".
        base: stands in for the source's own "https://host".

    Raises:
        WrinkleError: the source is unknown, cannot be read, or answers in an unknown form.
    """
    if source not in SOURCES:
        raise WrinkleError(f"unknown source {source!r}: choose one of {', '.join(SOURCES)}")
    where = {} if base is None else {"base": base}
    try:
        yield from islice(SOURCES[source](fetcher, query, **where), limit)
    except WrinkleError:
        raise
    except Exception as error:  # a page that is not as icrawler or the documentation has it
        raise WrinkleError(
            f"{source} answered {query!r} in a form that is not understood"
            f" ({type(error).__name__}): leave it out, or see whether a newer wrinkle reads it"
        ) from error
