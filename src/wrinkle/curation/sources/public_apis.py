"""Wikimedia Commons and Openverse: public APIs, which state licences.

Their robots.txt, which is for crawlers of pages, does not apply; rate limit and contact do.
"""

import json
import os
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, ClassVar
from urllib.parse import urlencode

from bs4 import BeautifulSoup

from wrinkle.curation.sources import SOURCES, SearchResult, Source
from wrinkle.curation.web.fetcher import Fetcher
from wrinkle.errors import WrinkleError

OPENVERSE_TOKEN = "OPENVERSE_TOKEN"
"""Environment variable with an access token, which is optional and raises Openverse's limits."""
OPENVERSE_PAGES = 20
"""The most that Openverse shows, 20 results each; its terms forbid copying its catalogue."""


class PublicApi(Source):
    """An API with a page of results for each request.

    Args:
        base: replaces the API's own "https://host", for tests.
    """

    base: ClassVar[str]

    def __init__(self, fetcher: Fetcher, /, *, base: str | None = None) -> None:
        self._fetcher, self._base = fetcher, base or self.base

    def _ask(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        url = f"{self._base}{path}?{urlencode(query)}"
        answer: dict[str, Any] = json.loads(self._fetcher.read(url, headers, robots=False))
        return answer


@SOURCES.named("wikimedia")
class Wikimedia(PublicApi):
    """Bitmaps on Wikimedia Commons (https://www.mediawiki.org/wiki/API:Imageinfo)."""

    base = "https://commons.wikimedia.org"
    rights = "each file's own licence, stated by Wikimedia Commons"

    def search(self, query: str) -> Iterator[SearchResult]:
        """See `Source`."""
        asked = {
            "action": "query",
            "format": "json",
            "formatversion": "2",
            "generator": "search",
            "gsrsearch": f"{query} filetype:bitmap",
            "gsrnamespace": "6",
            "gsrlimit": "50",
            "prop": "imageinfo",
            "iiprop": "url|extmetadata|size|mime",
            "iiextmetadatafilter": "LicenseShortName|Artist",
        }
        more: dict[str, str] | None = {}
        while more is not None:
            answer = self._ask("/w/api.php", asked | more)
            if "error" in answer:
                raise WrinkleError(f"Wikimedia Commons refuses: {answer['error']['info']}")
            pages = answer.get("query", {}).get("pages", [])
            for page in sorted(pages, key=lambda page: page.get("index", 0)):
                for info in page.get("imageinfo", [])[:1]:  # may come in a later answer only
                    about = info.get("extmetadata", {})
                    yield SearchResult(
                        url=info["url"],
                        query=query,
                        source="wikimedia",
                        licence=_text(about, "LicenseShortName"),
                        page=info.get("descriptionurl"),
                        title=page.get("title"),
                        creator=_text(about, "Artist"),
                    )
            more = answer.get("continue")


@SOURCES.named("openverse")
class Openverse(PublicApi):
    """Openly licensed pictures from many collections (https://api.openverse.org/v1/)."""

    base = "https://api.openverse.org"
    rights = "each picture's own licence, stated by Openverse and not verified"

    def search(self, query: str) -> Iterator[SearchResult]:
        """See `Source`."""
        token = os.environ.get(OPENVERSE_TOKEN)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        for number in count(1):
            asked = {"q": query, "page": str(number), "page_size": "20"}
            answer = self._ask("/v1/images/", asked, headers)
            for result in answer["results"]:
                yield SearchResult(
                    url=result["url"],
                    query=query,
                    source="openverse",
                    licence=f"{result['license']} {result.get('license_version') or ''}".strip(),
                    page=result.get("foreign_landing_url"),
                    title=result.get("title"),
                    creator=result.get("creator"),
                )
            if number >= min(answer["page_count"], OPENVERSE_PAGES):
                return


def _text(about: dict[str, Any], name: str) -> str | None:
    """A field of a file's description, HTML, as text."""
    html = about.get(name, {}).get("value", "")
    return BeautifulSoup(html, "lxml").get_text(" ", strip=True) or None
