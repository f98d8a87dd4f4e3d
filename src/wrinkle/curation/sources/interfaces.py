"""Wikimedia Commons and Openverse: public interfaces for programs, which state licences.

Their robots.txt, written for crawlers of pages, is not asked; the rate and the name are as always.
"""

import json
import os
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any
from urllib.parse import urlencode

from bs4 import BeautifulSoup

from wrinkle.curation.fetch import Fetcher
from wrinkle.curation.sources.found import Found
from wrinkle.errors import WrinkleError

OPENVERSE_TOKEN = "OPENVERSE_TOKEN"
"""Environment variable with an access token, which Openverse does not need but serves better."""
OPENVERSE_PAGES = 20
"""Openverse shows no more of 20 results each; its terms forbid to copy its catalogue."""


def wikimedia(
    fetcher: Fetcher, query: str, base: str = "https://commons.wikimedia.org"
) -> Iterator[Found]:
    """Bitmaps on Wikimedia Commons (https://www.mediawiki.org/wiki/API:Imageinfo)."""
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
        answer = _ask(fetcher, f"{base}/w/api.php", asked | more)
        if "error" in answer:
            raise WrinkleError(f"Wikimedia Commons refuses: {answer['error']['info']}")
        pages = answer.get("query", {}).get("pages", [])
        for page in sorted(pages, key=lambda page: page.get("index", 0)):
            for info in page.get("imageinfo", [])[:1]:  # absent until its turn in a continuation
                about = info.get("extmetadata", {})
                yield Found(
                    url=info["url"],
                    query=query,
                    source="wikimedia",
                    licence=_text(about, "LicenseShortName"),
                    page=info.get("descriptionurl"),
                    title=page.get("title"),
                    creator=_text(about, "Artist"),
                )
        more = answer.get("continue")


def openverse(
    fetcher: Fetcher, query: str, base: str = "https://api.openverse.org"
) -> Iterator[Found]:
    """Openly licensed pictures from many collections (https://api.openverse.org/v1/)."""
    token = os.environ.get(OPENVERSE_TOKEN)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for number in count(1):
        asked = {"q": query, "page": str(number), "page_size": "20"}
        answer = _ask(fetcher, f"{base}/v1/images/", asked, headers)
        for result in answer["results"]:
            yield Found(
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


def _ask(
    fetcher: Fetcher, url: str, asked: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(
        fetcher.read(f"{url}?{urlencode(asked)}", headers, robots=False)
    )
    return answer


def _text(about: dict[str, Any], name: str) -> str | None:
    """A field of a file's description, which comes as HTML, as text."""
    html = about.get(name, {}).get("value", "")
    return BeautifulSoup(html, "lxml").get_text(" ", strip=True) or None
