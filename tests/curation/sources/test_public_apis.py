"""Wikimedia Commons and Openverse answer in the form that their documentation shows."""

import json
from urllib.parse import parse_qsl, urlsplit

import pytest
from benchmarks.local_web import answer

from tests.curation.fetching import make_fetcher
from wrinkle.curation.sources import SearchResult, find
from wrinkle.errors import WrinkleError


def serve(server, path: str, *answers: dict) -> None:
    left = list(answers)
    server.routes[path] = lambda handler: answer(
        json.dumps(left.pop(0)).encode(), content_type="application/json"
    )(handler)


def asked(server) -> list[dict[str, str]]:
    return [dict(parse_qsl(urlsplit(path).query)) for path in server.pages]


def commons_page(index: int, **about: str) -> dict:
    """A page as API:Imageinfo shows it, formatversion 2."""
    title = f"File:Portrait {index}.jpg"
    return {
        "pageid": 1000 + index,
        "ns": 6,
        "title": title,
        "index": index,
        "imagerepository": "local",
        "imageinfo": [
            {
                "size": 123,
                "width": 600,
                "height": 800,
                "url": f"https://upload.wikimedia.org/wikipedia/commons/a/ab/{index}.jpg",
                "descriptionurl": f"https://commons.wikimedia.org/wiki/{index}",
                "mime": "image/jpeg",
                "extmetadata": {
                    name: {"value": value, "source": "commons-desc-page"}
                    for name, value in about.items()
                },
            }
        ],
    }


def test_commons_has_several_pages(server):
    late = {"pageid": 1003, "ns": 6, "title": "File:Portrait 3.jpg", "index": 3}
    artist = '<a href="//commons.wikimedia.org/wiki/User:Ann" title="x">Ann <b>B.</b></a>'
    serve(
        server,
        "/w/api.php",
        {
            "batchcomplete": True,
            "continue": {"gsroffset": 50, "continue": "gsroffset||"},
            "query": {
                "pages": [
                    commons_page(2, LicenseShortName="CC BY-SA 4.0", Artist=artist),
                    commons_page(1, LicenseShortName="Public domain"),
                    late,
                ]
            },
        },
        {"batchcomplete": True, "query": {"pages": [commons_page(3)]}},
    )
    found = list(find("wikimedia", make_fetcher(), "old man", 100, base=server.url))
    assert found[0] == SearchResult(
        url="https://upload.wikimedia.org/wikipedia/commons/a/ab/1.jpg",
        query="old man",
        source="wikimedia",
        licence="Public domain",
        page="https://commons.wikimedia.org/wiki/1",
        title="File:Portrait 1.jpg",
        creator=None,
    )
    assert (found[1].licence, found[1].creator) == ("CC BY-SA 4.0", "Ann B.")
    assert (len(found), found[2].title, found[2].licence) == (3, "File:Portrait 3.jpg", None)
    first, second = asked(server)
    assert first["gsrsearch"] == "old man filetype:bitmap"
    assert second == first | {"gsroffset": "50", "continue": "gsroffset||"}
    assert "/robots.txt" not in server.asked


def test_commons_has_no_results_or_an_error(server):
    serve(
        server,
        "/w/api.php",
        {"batchcomplete": True},
        {"error": {"code": "badvalue", "info": "Unrecognized value"}},
    )
    assert list(find("wikimedia", make_fetcher(), "x", 9, base=server.url)) == []
    with pytest.raises(WrinkleError, match=r"^Wikimedia Commons refuses: Unrecognized value$"):
        list(find("wikimedia", make_fetcher(), "x", 9, base=server.url))


def openverse_page(page: int, of: int, *numbers: int, **fields: object) -> dict:
    results = [
        {
            "id": f"0000-{number}",
            "title": f"Portrait {number}",
            "foreign_landing_url": f"https://www.flickr.com/photos/{number}",
            "url": f"https://live.staticflickr.com/{number}.jpg",
            "creator": "Ann",
            "license": "by-sa",
            "license_version": "2.0",
            "provider": "flickr",
            **fields,
        }
        for number in numbers
    ]
    return {"result_count": 99, "page_count": of, "page_size": 20, "page": page, "results": results}


def test_openverse_has_several_pages(server):
    serve(
        server,
        "/v1/images/",
        openverse_page(1, 2, 1, 2),
        openverse_page(2, 2, 3, license="pdm", license_version=None, creator=None, title=None),
    )
    found = list(find("openverse", make_fetcher(), "old man", 100, base=server.url))
    assert found[0] == SearchResult(
        url="https://live.staticflickr.com/1.jpg",
        query="old man",
        source="openverse",
        licence="by-sa 2.0",
        page="https://www.flickr.com/photos/1",
        title="Portrait 1",
        creator="Ann",
    )
    assert (found[2].licence, found[2].creator, found[2].title) == ("pdm", None, None)
    assert asked(server) == [
        {"q": "old man", "page": page, "page_size": "20"} for page in ("1", "2")
    ]
    assert all("authorization" not in heard for heard in server.heard)


def test_openverse_requests_stay_within_its_page_limits(server):
    serve(server, "/v1/images/", *(openverse_page(i, 500, i) for i in range(1, 30)))
    assert len(list(find("openverse", make_fetcher(), "x", 1000, base=server.url))) == 20


def test_the_limit_is_exact(server):
    serve(server, "/v1/images/", openverse_page(1, 9, 1, 2, 3))
    assert len(list(find("openverse", make_fetcher(), "x", 3, base=server.url))) == 3
    assert len(server.asked) == 1


def test_the_key_appears_nowhere(server, monkeypatch, caplog, capfd):
    monkeypatch.setenv("OPENVERSE_TOKEN", "k3y-0f-0urs")
    caplog.set_level("DEBUG")
    serve(server, "/v1/images/", openverse_page(1, 2, 1))
    told = []
    records = find("openverse", make_fetcher(), "x", 100, base=server.url)
    told.append(repr(next(records)))
    server.routes["/v1/images/"] = answer(b"no", 401)
    with pytest.raises(WrinkleError, match="HTTP 401") as caught:
        next(records)
    told += [str(caught.value), repr(caught.value), caplog.text, *capfd.readouterr()]
    assert {heard["authorization"] for heard in server.heard} == {"Bearer k3y-0f-0urs"}
    assert not any("k3y" in text for text in told)
    assert not any("k3y" in path for path in server.asked)


def test_a_key_with_a_line_end_is_not_shown(server, monkeypatch):
    monkeypatch.setenv("OPENVERSE_TOKEN", "k3y\n")
    with pytest.raises(WrinkleError, match="a header that cannot be sent") as caught:
        list(find("openverse", make_fetcher(), "x", 1, base=server.url))
    assert "k3y" not in str(caught.value)
    assert server.asked == []
