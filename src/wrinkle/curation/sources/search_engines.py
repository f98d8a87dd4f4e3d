"""Google, Bing, Baidu and Yahoo, by icrawler's feeders and parsers or ones of the same form.

icrawler would download by itself; here its feeders only write URLs of result pages, its parsers
only read those pages, and the fetcher makes the requests. Search engines state no licences, and
their robots.txt usually forbids result pages: get their owner's permission (`Fetcher`'s
`permitted`).
"""

from collections.abc import Iterator
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, urlsplit

from bs4 import BeautifulSoup
from icrawler import Feeder, Parser, SimpleSEFeeder
from icrawler.builtin.baidu import BaiduFeeder, BaiduParser
from icrawler.builtin.bing import BingFeeder, BingParser
from icrawler.builtin.google import GoogleFeeder, GoogleParser

from wrinkle.curation.sources import SOURCES, SearchResult, Source
from wrinkle.curation.web.fetcher import Fetcher

MAX_RESULTS = 1000
"""Pictures for which pages of results are requested; engines have no more, by icrawler."""


class YahooFeeder(SimpleSEFeeder):  # type: ignore[misc]
    """URLs of pages of 60 pictures each."""

    def feed(self, keyword: str, offset: int, max_num: int) -> None:
        pages = "https://images.search.yahoo.com/search/images?p={}&b={}"
        super().feed(pages, keyword, offset + 1, max_num, 60)


class YahooParser(Parser):  # type: ignore[misc]
    """Every result is a link to /images/view?…&imgurl=…&rurl=…&name=…, imgurl without a scheme."""

    def parse(self, response: Any) -> Iterator[dict[str, str | None]]:
        for link in BeautifulSoup(response.content, "lxml").select('a[href*="imgurl="]'):
            fields = parse_qs(urlsplit(str(link["href"])).query)
            url = fields["imgurl"][0]
            yield {
                "file_url": url if "://" in url else f"http://{url}",
                "page": fields.get("rurl", [None])[0],
                "title": fields.get("name", [None])[0],
            }


class SearchEngine(Source):
    """A search engine's result pages.

    Args:
        base: replaces the engine's own "https://host", for tests.
    """

    name: ClassVar[str]
    base: ClassVar[str]
    feeder: ClassVar[type[Feeder]]
    parser: ClassVar[type[Parser]]

    def __init__(self, fetcher: Fetcher, /, *, base: str | None = None) -> None:
        self._fetcher, self._base = fetcher, base or self.base

    def keyword(self, query: str) -> str:
        """A query as the feeder expects it."""
        return quote(query, safe="")

    def search(self, query: str) -> Iterator[SearchResult]:
        """See `Source`."""
        feeder, parser = self.feeder(1, None, None), self.parser(1, None, None)
        feeder.out_queue = SimpleQueue()  # its own has five places and waits for other threads
        feeder.feed(keyword=self.keyword(query), offset=0, max_num=MAX_RESULTS)
        while not feeder.out_queue.empty():
            page = urlsplit(feeder.out_queue.get())
            content = self._fetcher.read(f"{self._base}{page.path}?{page.query}")
            results = list(parser.parse(SimpleNamespace(content=content)) or ())
            if not results:
                return
            for result in results:
                about = {key: result.get(key) for key in ("page", "title")}
                yield SearchResult(result["file_url"], query, self.name, **about)


@SOURCES.named("google")
class Google(SearchEngine):
    """Google's pictures, those whose name ends in .jpg, .png or .bmp."""

    name, base = "google", "https://www.google.com"
    feeder, parser = GoogleFeeder, GoogleParser

    def keyword(self, query: str) -> str:
        """See `SearchEngine`; this feeder quotes by itself."""
        return query


@SOURCES.named("bing")
class Bing(SearchEngine):
    """Bing's pictures, those whose name ends in .jpg."""

    name, base = "bing", "https://www.bing.com"
    feeder, parser = BingFeeder, BingParser


@SOURCES.named("baidu")
class Baidu(SearchEngine):
    """Baidu's pictures."""

    name, base = "baidu", "https://image.baidu.com"
    feeder, parser = BaiduFeeder, BaiduParser


@SOURCES.named("yahoo")
class Yahoo(SearchEngine):
    """Yahoo's pictures."""

    name, base = "yahoo", "https://images.search.yahoo.com"
    feeder, parser = YahooFeeder, YahooParser
