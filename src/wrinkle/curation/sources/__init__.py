"""Sources: a query → URLs of pictures, and what is known about them."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, cast

from wrinkle.curation.sources.search_result import SearchResult
from wrinkle.curation.sources.source import Source
from wrinkle.curation.web.fetcher import Fetcher
from wrinkle.errors import WrinkleError
from wrinkle.registry import Registry

__all__ = ["SOURCES", "SearchResult", "Source", "find", "source_class"]

SOURCES: Registry[Source] = Registry("source", "wrinkle.curation.sources")


def source_class(name: str) -> type[Source]:
    """The class of a source; `Source` itself for one that is not registered any more."""
    return cast(type[Source], SOURCES.get(name)) if name in SOURCES.names() else Source


def find(
    source: str,
    fetcher: Fetcher,
    query: str,
    limit: int,
    fields: Mapping[str, Any] | None = None,
    **for_tests: Any,
) -> Iterator[SearchResult]:
    """The first `limit` pictures that a source has for a query.

    Args:
        source: a name of `SOURCES`.
        query: search words; a path if the source's queries are paths.
        fields: settings of the source.
        for_tests: its keyword-only parameters, such as the `base` of its addresses.

    Raises:
        WrinkleError: the source is unknown, cannot be read, or answers in an unknown form.
    """
    checked = SOURCES.check(source, fields or {})
    try:
        yield from islice(SOURCES.get(source)(fetcher, **checked, **for_tests).search(query), limit)
    except WrinkleError:
        raise
    except Exception as error:  # an answer that is not as icrawler or the documentation expects
        raise WrinkleError(
            f"{source} answered {query!r} in a form that is not understood"
            f" ({type(error).__name__}): leave it out, or see whether a newer wrinkle reads it"
        ) from error
