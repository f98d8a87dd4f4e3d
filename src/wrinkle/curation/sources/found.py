"""What a source says of a picture before anybody has fetched it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Found:
    """A picture's URL, and where it comes from. None: the source does not say.

    All text is a stranger's: escape it before it goes into a page.
    """

    url: str
    query: str
    source: str
    licence: str | None = None
    page: str | None = None
    title: str | None = None
    creator: str | None = None
    person: str | None = None
    """Whose face it is, by any name; of a picture with several faces nobody's."""
