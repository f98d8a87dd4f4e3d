import re

import pytest
from benchmarks.local_web import answer

from tests.curation.fetching import make_fetcher
from wrinkle.curation.sources import SOURCES, Source, find, source_class
from wrinkle.errors import WrinkleError

WEB = [name for name in SOURCES.names() if name not in ("url_list", "folder")]


def failure(*arguments, **options) -> str:
    with pytest.raises(WrinkleError) as caught:
        list(find(*arguments, **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unknown_source_names_the_choices():
    message = failure("altavista", make_fetcher(), "x", 1)
    assert message.startswith("unknown source 'altavista'")
    assert all(name in message for name in ("google", "wikimedia", "folder"))


def test_an_unknown_field_names_the_choices():
    message = failure("wikimedia", make_fetcher(), "x", 1, {"base": "https://h"})
    assert re.search("wikimedia has no field 'base'.*choices", message)


def test_a_source_that_is_not_registered_any_more_has_the_defaults():
    assert source_class("folder").gives_files
    assert source_class("gone") is Source


@pytest.mark.parametrize("name", WEB)
def test_sources_are_lazy(name):
    def resolver(host: str, port: int) -> list[str]:
        pytest.fail("asked")

    records = find(name, make_fetcher(resolver=resolver), "x", 5)
    records.close()
    assert list(find(name, make_fetcher(resolver=resolver), "x", 0)) == []


@pytest.mark.parametrize("name", WEB)
def test_every_request_of_a_source_is_checked(name):
    asked = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["10.0.0.1"]

    message = failure(name, make_fetcher(resolver=resolver), "x", 5)
    assert "address not public" in message
    assert len(asked) == 1
    assert name in asked[0]


@pytest.mark.parametrize("name", WEB)
def test_server_errors_are_one_line(server, name):
    server.routes = dict.fromkeys(
        ("/search", "/images/async", "/search/acjson", "/search/images", "/w/api.php"),
        answer(b"", 503),
    ) | {"/v1/images/": answer(b"", 503)}
    assert "HTTP 503" in failure(name, make_fetcher(), "x", 5, base=server.url)
    assert len(server.pages) == 3


@pytest.mark.parametrize("name", ["wikimedia", "openverse"])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}1", b'{"results": [{}]}', b"\xff"])
def test_answers_in_an_unknown_form_are_one_line(server, name, body):
    server.routes = dict.fromkeys(("/w/api.php", "/v1/images/"), answer(body))
    if (name, body) == ("wikimedia", b'{"results": [{}]}'):
        assert list(find(name, make_fetcher(), "x", 5, base=server.url)) == []
    else:
        assert "in a form that is not understood" in failure(
            name, make_fetcher(), "x", 5, base=server.url
        )
