"""Google, Bing, Baidu and Yahoo: their feeders and parsers are icrawler's or in its form.

icrawler would download by itself; here its feeders only write URLs of result pages and its parsers
only read those pages. The requests are the fetcher's. Search engines state no licences, and their
robots.txt as a rule forbids result pages: have their owner's leave (`Fetcher`'s `permitted`).
"""

from collections.abc import Iterator
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from bs4 import BeautifulSoup
from icrawler import Feeder, Parser, SimpleSEFeeder
from icrawler.builtin.baidu import BaiduFeeder, BaiduParser
from icrawler.builtin.bing import BingFeeder, BingParser
from icrawler.builtin.google import GoogleFeeder, GoogleParser

from wrinkle.curation.fetch import Fetcher
from wrinkle.curation.sources.found import Found

MOST = 1000
"""Pictures for which pages of results are asked; icrawler finds that engines have no more."""


class YahooFeeder(SimpleSEFeeder):
    """URLs of pages of 60 pictures each."""

    def feed(self, keyword: str, offset: int, max_num: int) -> None:
        pages = "https://images.search.yahoo.com/search/images?p={}&b={}"
        super().feed(pages, keyword, offset + 1, max_num, 60)


class YahooParser(Parser):
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


def google(fetcher: Fetcher, query: str, base: str = "https://www.google.com") -> Iterator[Found]:
    """Google's pictures, those whose name ends in .jpg, .png or .bmp."""
    return _search("google", fetcher, query, base, GoogleFeeder, GoogleParser, query)


def bing(fetcher: Fetcher, query: str, base: str = "https://www.bing.com") -> Iterator[Found]:
    """Bing's pictures, those whose name ends in .jpg."""
    return _search("bing", fetcher, query, base, BingFeeder, BingParser, quote(query, safe=""))


def baidu(fetcher: Fetcher, query: str, base: str = "https://image.baidu.com") -> Iterator[Found]:
    """Baidu's pictures."""
    return _search("baidu", fetcher, query, base, BaiduFeeder, BaiduParser, quote(query, safe=""))


def yahoo(
    fetcher: Fetcher, query: str, base: str = "https://images.search.yahoo.com"
) -> Iterator[Found]:
    """Yahoo's pictures."""
    return _search("yahoo", fetcher, query, base, YahooFeeder, YahooParser, quote(query, safe=""))


def _search(
    name: str,
    fetcher: Fetcher,
    query: str,
    base: str,
    feeder_class: type[Feeder],
    parser_class: type[Parser],
    keyword: str,
) -> Iterator[Found]:
    feeder, parser = feeder_class(1, None, None), parser_class(1, None, None)
    feeder.out_queue = SimpleQueue()  # its own holds five, and waits for threads that there are not
    feeder.feed(keyword=keyword, offset=0, max_num=MOST)
    while not feeder.out_queue.empty():
        page = urlsplit(feeder.out_queue.get())
        content = fetcher.read(f"{base}{page.path}?{page.query}")
        results = list(parser.parse(SimpleNamespace(content=content)) or ())
        if not results:
            return
        for result in results:
            more = {key: result.get(key) for key in ("page", "title")}
            yield Found(result["file_url"], query, name, **more)
