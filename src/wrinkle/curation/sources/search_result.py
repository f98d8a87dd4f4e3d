"""What a source says about a picture before it is fetched."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SearchResult:
    """A picture's URL and its origin. None: the source does not say.

    All text comes from strangers: escape it before it goes into a page.

    Attributes:
        person: whose face it is, under any name; ignored for pictures with several faces.
    """

    url: str
    query: str
    source: str
    licence: str | None = None
    page: str | None = None
    title: str | None = None
    creator: str | None = None
    person: str | None = None
