"""Engines answer in the form that icrawler's parsers read, Yahoo in that of its result pages."""

import html
import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from benchmarks.local_web import answer

from tests.curation.fetching import make_fetcher
from wrinkle.curation.sources import SearchResult, find
from wrinkle.errors import WrinkleError

QUERY = 'old man & "woman" ü'
PAGES = {
    "google": ("/search", "q"),
    "bing": ("/images/async", "q"),
    "baidu": ("/search/acjson", "word"),
    "yahoo": ("/search/images", "p"),
}


def baidu_code(url: str) -> str:
    """Baidu's way to write a URL, the inverse of icrawler's reading."""
    plain = "abcdefghijklmnopqrstuvw1234567890"
    coded = "wkv1ju2it3hs4g5rq6fp7eo8dn9cm0bla"
    url = "".join(dict(zip(plain, coded, strict=True)).get(char, char) for char in url)
    for char, code in ((":", "_z2C$q"), (".", "_z&e3B"), ("/", "AzdH3F")):
        url = url.replace(char, code)
    return url


def google_page(urls: list[str]) -> str:
    rows = ",".join(f'["{url}",600,800]' for url in urls)
    return f"<html><script>var a = 1;</script><script>AF_init({{data:[{rows}]}});</script></html>"


def bing_page(urls: list[str]) -> str:
    metas = [html.escape(json.dumps({"murl": url}, separators=(",", ":"))) for url in urls]
    return "".join(f'<div class="imgpt"><a m="{meta}"></a></div>' for meta in metas)


def baidu_page(urls: list[str]) -> str:
    return json.dumps({"data": [{"objURL": baidu_code(url)} for url in urls] + [{}]})


def yahoo_page(urls: list[str]) -> str:
    links = []
    for url in urls:
        fields = f"imgurl={quote(url.removeprefix('http://'), safe='')}"
        fields += f"&rurl={quote('https://page.example/?a=1&b=2', safe='')}&name=A+title"
        links.append(
            f"<li class='ld'><a href='/images/view;_ylt=x?{html.escape(fields)}'></a></li>"
        )
    return f"<ul>{''.join(links)}</ul><a href='/search/images?p=x&amp;b=61'>More</a>"


@contextmanager
def suppress_misunderstanding() -> Iterator[None]:
    try:
        yield
    except WrinkleError as error:
        line = str(error)
        if "in a form that is not understood" not in line or "\n" in line:
            raise


MAKE = {"google": google_page, "bing": bing_page, "baidu": baidu_page, "yahoo": yahoo_page}


def serve(server, engine: str, *pages: list[str]) -> None:
    """One page of results after another, then empty ones."""
    left = list(pages)

    def route(handler) -> None:
        page = MAKE[engine](left.pop(0) if left else [])
        answer(page.encode(), content_type="text/html")(handler)

    server.routes[PAGES[engine][0]] = route


@pytest.mark.parametrize("engine", PAGES)
def test_pages_are_read_until_one_is_empty(server, engine):
    first = [f"http://pictures.example/{i}.jpg" for i in range(3)]
    second = ["http://127.0.0.1/private.jpg"]
    serve(server, engine, first, second)
    found = list(find(engine, make_fetcher(), QUERY, 100, base=server.url))
    assert [entry.url for entry in found] == first + second
    assert {(entry.query, entry.source, entry.licence) for entry in found} == {
        (QUERY, engine, None)
    }
    assert len(server.pages) == 3
    path, field = PAGES[engine]
    for asked in server.pages:
        assert urlsplit(asked).path == path
        assert parse_qs(urlsplit(asked).query)[field] == [QUERY]
    assert len(set(server.pages)) == 3


@pytest.mark.parametrize("engine", PAGES)
def test_pages_after_the_limit_are_not_read(server, engine):
    serve(server, engine, [f"http://h/{i}.jpg" for i in range(5)], ["http://h/9.jpg"])
    assert len(list(find(engine, make_fetcher(), "x", 5, base=server.url))) == 5
    assert len(server.pages) == 1


@pytest.mark.parametrize("engine", PAGES)
def test_robots_txt_of_an_engine_applies(server, engine):
    serve(server, engine, ["http://h/1.jpg"])
    server.routes["/robots.txt"] = answer(b"User-agent: *\nDisallow: /")
    with pytest.raises(WrinkleError, match=r"against robots\.txt"):
        list(find(engine, make_fetcher(), "x", 5, base=server.url))
    assert server.pages == []
    fetcher = make_fetcher(permitted=["127.0.0.1"])
    assert len(list(find(engine, fetcher, "x", 5, base=server.url))) == 1


@pytest.mark.parametrize("engine", PAGES)
@pytest.mark.parametrize("page", [b"", b"<html><script>http</script>", b"\xff\xfe\x00", b"{}"])
def test_pages_of_another_form_are_an_error(server, engine, page):
    server.routes[PAGES[engine][0]] = answer(page)
    with suppress_misunderstanding():
        assert list(find(engine, make_fetcher(), "x", 5, base=server.url)) == []


def test_yahoo_gives_page_and_title(server):
    serve(server, "yahoo", ["http://h/a b.jpg"])
    (found,) = find("yahoo", make_fetcher(), "x", 5, base=server.url)
    assert found == SearchResult(
        url="http://h/a b.jpg",
        query="x",
        source="yahoo",
        page="https://page.example/?a=1&b=2",
        title="A title",
    )


def test_yahoo_has_sixty_results_on_a_page(server):
    serve(server, "yahoo", ["http://h/1.jpg"], ["http://h/2.jpg"])
    list(find("yahoo", make_fetcher(), "x", 100, base=server.url))
    assert [parse_qs(urlsplit(asked).query)["b"] for asked in server.pages] == [
        ["1"],
        ["61"],
        ["121"],
    ]
