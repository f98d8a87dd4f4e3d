"""What every source has."""

from collections.abc import Iterator
from typing import ClassVar

from wrinkle.curation.sources.search_result import SearchResult


class Source:
    """Finds pictures for queries. Its constructor gets a `Fetcher` by position, then its settings.

    Attributes:
        rights: what the source says about the rights of its pictures; a data card quotes it.
        queries_are_paths: whether a query is the path of a file or folder on this machine.
        gives_files: whether results are file: URLs of pictures inside the query's folder; they are
            read from the disk.
    """

    rights: ClassVar[str] = "states no licence: copyright stays with the maker of each picture"
    queries_are_paths: ClassVar[bool] = False
    gives_files: ClassVar[bool] = False

    def search(self, query: str) -> Iterator[SearchResult]:
        """The pictures for a query; lazy: it requests a page of results when one is needed.

        Raises:
            WrinkleError: the source cannot be read.
        """
        raise NotImplementedError
