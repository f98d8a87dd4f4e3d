import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from benchmarks.local_web import CONTACT, JPEG, answer, redirect, resolve_to_loopback

from tests.curation.fetching import Clock, make_fetcher
from wrinkle import __version__
from wrinkle.curation.web.fetch_result import Status
from wrinkle.curation.web.fetcher import DAY, Fetcher
from wrinkle.errors import WrinkleError


def kept(fetcher: Fetcher, url: str) -> bool:
    done = fetcher.fetch(url)
    assert done.url == url
    assert "\n" not in done.detail
    return done.status == Status.KEPT


# Who we are


def test_every_request_has_the_contact(server):
    server.routes["/a.jpg"] = answer(JPEG)
    assert kept(make_fetcher(), f"{server.url}/a.jpg")
    agents = {heard["user-agent"] for heard in server.heard}
    assert agents == {f"wrinkle/{__version__} (+{CONTACT})"}
    assert server.asked == ["/robots.txt", "/a.jpg"]


@pytest.mark.parametrize("contact", ["", "me", "me@x\r\nX: y", "ftp://x", "a b@c.de"])
def test_a_contact_is_needed(contact):
    with pytest.raises(WrinkleError, match="give a mail address or a URL") as caught:
        Fetcher(contact)
    assert "\n" not in str(caught.value)


def test_valid_contacts_are_accepted():
    for contact in ("a@b.de", "https://lab.example/crawler"):
        Fetcher(contact)


# What comes back


def test_errors_404_and_html_named_jpg_are_reported(server):
    server.routes["/page.jpg"] = answer(b"<!DOCTYPE html>", content_type="image/jpeg")
    missing = make_fetcher().fetch(f"{server.url}/none.jpg")
    assert (missing.status, missing.http_status) == (Status.HTTP_ERROR, 404)
    page = make_fetcher().fetch(f"{server.url}/page.jpg")
    assert (page.status, page.http_status) == (Status.NOT_A_PICTURE, 200)
    assert page.detail == "it begins with b'<!DOCTYPE html>'"


def test_host_names_with_dots_are_kept(server):
    server.routes["/etc/passwd"] = answer(JPEG)
    done = make_fetcher().fetch(f"{server.url}/a/../../../etc/passwd")
    assert done.status == Status.KEPT
    assert server.pages == ["/etc/passwd"]
    assert not [name for name, value in vars(done).items() if value and name == "path"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://a:b@127.0.0.1/", "x", ""])
def test_invalid_urls_are_not_requested(url):
    done = make_fetcher(resolver=lambda *_: pytest.fail("asked")).fetch(url)
    assert done.status == Status.BAD_URL


def test_limits_are_applied(server):
    server.routes["/a.jpg"] = answer(JPEG)
    for limits, status in (
        ({"size": len(JPEG) - 1}, Status.TOO_LARGE),
        ({"pixels": 107}, Status.TOO_MANY_PIXELS),
        ({"size": len(JPEG), "pixels": 108}, Status.KEPT),
    ):
        assert make_fetcher(limits=limits).fetch(f"{server.url}/a.jpg").status == status


# Redirects


def test_redirects_are_followed_and_recorded(server):
    utf8 = "ä".encode().decode("latin-1")  # how the bytes of many servers look to this one
    server.routes |= {
        "/1": redirect("/2"),
        "/2": redirect(f"//127.0.0.1:{server.port}/3?x={utf8}"),
        "/3": answer(JPEG),
    }
    done = make_fetcher().fetch(f"{server.url}/1")
    assert (done.status, done.final_url) == (Status.KEPT, f"{server.url}/3?x=%C3%A4")


def test_endless_redirects_end(server):
    server.routes["/1"] = redirect("/1")
    done = make_fetcher().fetch(f"{server.url}/1")
    assert (done.status, done.http_status) == (Status.REDIRECTS, 302)
    assert server.pages == ["/1"] * 6


@pytest.mark.parametrize(
    "target",
    [
        *("http://127.0.0.2/", "http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/"),
        *("http://2130706434/", "http://0x7f.2/", "http://[::1]/", "http://[::ffff:127.0.0.1]/"),
    ],
)
def test_a_chain_of_redirects_to_a_private_address_is_refused(server, target):
    server.routes |= {"/1": redirect("/2"), "/2": redirect(target)}
    done = make_fetcher().fetch(f"{server.url}/1")
    assert done.status == Status.NOT_PUBLIC
    assert done.final_url != f"{server.url}/1"
    assert server.pages == ["/1", "/2"]


def test_redirects_to_other_schemes_are_refused(server):
    for target in ("file:///etc/passwd", "ftp://h/", "http://u:p@127.0.0.1/", "data:,x"):
        server.routes["/1"] = redirect(target)
        assert make_fetcher().fetch(f"{server.url}/1").status == Status.BAD_URL


def test_a_redirect_without_a_valid_target_is_an_error(server):
    server.routes["/1"] = answer(status=302)
    assert make_fetcher().fetch(f"{server.url}/1").http_status == 302


# Names that change their minds


def test_a_name_that_becomes_private_is_refused(server):
    """DNS rebinding: an answer that would pass the check, then one that must not."""
    server.routes["/a.jpg"] = answer(JPEG)
    answers = [["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"]]
    fetcher = make_fetcher(resolver=lambda host, port: answers.pop(0))
    url = server.at("rebind.example", "/a.jpg")
    assert kept(fetcher, url)
    assert len(answers) == 1, "one look-up for each of robots.txt and the picture"
    again = fetcher.fetch(url)
    assert (again.status, again.detail) == (
        Status.NOT_PUBLIC,
        "rebind.example is at 10.0.0.1",
    )
    assert server.pages == ["/a.jpg"]


def test_a_second_look_up_is_never_used(server, monkeypatch):
    """The system's look-up, if it were used after the check, gives another address."""
    server.routes["/a.jpg"] = answer(JPEG)
    system = socket.getaddrinfo

    def rebound(host, *rest, **more):
        assert host == "127.0.0.1", f"{host} is looked up behind our back"
        return system(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    fetcher = make_fetcher(resolver=resolve_to_loopback)
    assert kept(fetcher, server.at("rebind.example", "/a.jpg"))


# robots.txt


def robots(server, text: str, status: int = 200) -> None:
    server.routes["/robots.txt"] = answer(text.encode(), status)
    for path in ("/a.jpg", "/private/b.jpg"):
        server.routes[path] = answer(JPEG)


def test_robots_txt_is_read_once_and_obeyed(server):
    robots(server, "User-agent: other\nAllow: /\n\nUser-agent: *\nDisallow: /private")
    fetcher = make_fetcher()
    assert kept(fetcher, f"{server.url}/a.jpg")
    done = fetcher.fetch(f"{server.url}/private/b.jpg")
    assert (done.status, done.detail) == (Status.ROBOTS, "it is forbidden there")
    assert server.asked == ["/robots.txt", "/a.jpg"]


def test_robots_txt_may_name_wrinkle(server):
    robots(server, "User-agent: *\nAllow: /\n\nUser-agent: Wrinkle\nDisallow: /private")
    assert kept(make_fetcher(), f"{server.url}/a.jpg")
    assert not kept(make_fetcher(), f"{server.url}/private/b.jpg")


def test_a_missing_robots_txt_forbids_nothing(server):
    for status in (401, 403, 404, 410):
        robots(server, "User-agent: *\nDisallow: /", status)
        assert kept(make_fetcher(), f"{server.url}/a.jpg"), status


def test_an_unreadable_robots_txt_forbids_everything(server):
    robots(server, "", 503)
    done = make_fetcher().fetch(f"{server.url}/a.jpg")
    assert done.status == Status.ROBOTS
    assert done.detail == "it cannot be read: HTTP error: HTTP 503"
    assert server.asked == ["/robots.txt"] * 3
    server.routes["/robots.txt"] = redirect("http://10.0.0.1/robots.txt")
    done = make_fetcher().fetch(f"{server.url}/a.jpg")
    assert (done.status, done.final_url) == (Status.ROBOTS, f"{server.url}/a.jpg")
    assert server.pages == []


def test_robots_txt_applies_after_a_redirect(server):
    robots(server, "User-agent: *\nDisallow: /private")
    server.routes["/1"] = redirect("/private/b.jpg")
    assert make_fetcher().fetch(f"{server.url}/1").status == Status.ROBOTS
    assert server.pages == ["/1"]


def test_robots_txt_is_read_again_after_a_day(server):
    robots(server, "")
    clock = Clock()
    fetcher = make_fetcher(clock)
    for _ in range(2):
        assert kept(fetcher, f"{server.url}/a.jpg")
    robots(server, "User-agent: *\nDisallow: /")
    clock.time += DAY
    assert not kept(fetcher, f"{server.url}/a.jpg")


def test_permitted_hosts_ignore_robots_txt(server):
    robots(server, "User-agent: *\nDisallow: /")
    assert not kept(make_fetcher(), f"{server.url}/a.jpg")
    assert kept(make_fetcher(permitted=["127.0.0.1"]), f"{server.url}/a.jpg")
    assert server.asked == ["/robots.txt", "/a.jpg"]


def test_crawl_delay_is_respected(server):
    robots(server, "User-agent: *\nCrawl-delay: 7")
    clock = Clock()
    fetcher = make_fetcher(clock)
    for _ in range(3):
        assert kept(fetcher, f"{server.url}/a.jpg")
    assert clock.slept == [1.0, 7.0, 7.0]
    robots(server, "User-agent: *\nCrawl-delay: 1000000")
    assert make_fetcher().fetch(f"{server.url}/a.jpg").detail == (
        "it asks for 1e+06 s between requests"
    )


# More tries


def failing(times: int, status: int, **headers: str):
    left = [times]

    def route(handler) -> None:
        left[0] -= 1
        (answer(b"", status, **headers) if left[0] >= 0 else answer(JPEG))(handler)

    return route


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_temporary_errors_are_tried_again(server, status):
    server.routes["/a.jpg"] = failing(2, status)
    clock = Clock()
    assert kept(make_fetcher(clock), f"{server.url}/a.jpg")
    assert server.pages == ["/a.jpg"] * 3
    _, first, second = clock.slept
    assert 0.5 <= first <= 1.5
    assert 2.0 <= second <= 6.0


def test_persistent_errors_are_reported(server):
    server.routes["/a.jpg"] = failing(99, 503)
    done = make_fetcher().fetch(f"{server.url}/a.jpg")
    assert (done.status, done.http_status) == (Status.HTTP_ERROR, 503)
    assert server.pages == ["/a.jpg"] * 3


def test_other_errors_are_final(server):
    for status in (400, 401, 403, 404, 410, 451):
        server.routes["/a.jpg"] = failing(99, status)
        server.asked.clear()
        assert make_fetcher().fetch(f"{server.url}/a.jpg").http_status == status
        assert server.pages == ["/a.jpg"]


def test_dropped_connections_are_tried_again(server):
    left = [2]

    def route(handler) -> None:
        left[0] -= 1
        if left[0] < 0:
            answer(JPEG)(handler)
        handler.close_connection = True

    server.routes["/a.jpg"] = route
    assert kept(make_fetcher(), f"{server.url}/a.jpg")
    assert server.pages == ["/a.jpg"] * 3


def test_an_unreachable_host_is_reported():
    clock = Clock()
    fetcher = make_fetcher(clock)
    assert fetcher.fetch("http://127.0.0.1:9/a.jpg").status == Status.NO_CONNECTION
    assert len(clock.slept) == 2
    assert fetcher.fetch("http://127.0.0.1:9/b.jpg").status == Status.NO_CONNECTION
    assert len(clock.slept) == 2, "what is known of a server is not found out twice"


def test_retry_after_applies_to_the_host(server):
    server.routes |= {"/a.jpg": failing(1, 429, retry_after="17"), "/b.jpg": answer(JPEG)}
    clock = Clock()
    fetcher = make_fetcher(clock)
    assert kept(fetcher, f"{server.url}/a.jpg")
    assert clock.slept == [1.0, 17.0]


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        *(("100000", 60, 60), ("soon", 0.5, 1.5), ("²", 0.5, 1.5), ("-5", 0.5, 1.5)),
        *((timedelta(seconds=40), 20, 40), (timedelta(days=-1), 0.5, 1.5)),
    ],
)
def test_retry_after_is_bounded_and_nonsense_is_ignored(server, said, least, most):
    if isinstance(said, timedelta):
        said = format_datetime(datetime.now(UTC) + said, usegmt=True)
    server.routes["/a.jpg"] = failing(1, 503, retry_after=said)
    clock = Clock()
    fetcher = make_fetcher(clock, limits={"interval": 0.0})
    assert kept(fetcher, f"{server.url}/a.jpg")
    assert least <= clock.slept[-1] <= most


# Pages


def test_an_unreadable_page_is_one_line(server):
    server.routes["/page"] = answer(b"hello")
    fetcher = make_fetcher()
    assert fetcher.read(f"{server.url}/page") == b"hello"
    for url in (f"{server.url}/none", "http://10.0.0.1/", "x"):
        with pytest.raises(WrinkleError, match="cannot be read: ") as caught:
            fetcher.read(url)
        assert "\n" not in str(caught.value)


def test_a_key_is_sent_to_its_own_server_only(server):
    other = server.at("other.example", "/2")
    server.routes |= {"/1": redirect(other), "/2": answer(b"x"), "/0": redirect("/1")}
    fetcher = make_fetcher(resolver=resolve_to_loopback)
    fetcher.read(f"{server.url}/0", {"Authorization": "Bearer k3y"}, robots=False)
    keys = {
        path: heard.get("authorization")
        for path, heard in zip(server.asked, server.heard, strict=True)
    }
    assert keys == {"/0": "Bearer k3y", "/1": "Bearer k3y", "/2": None}


def test_errors_contain_no_key(server, caplog):
    caplog.set_level("DEBUG")
    with pytest.raises(WrinkleError) as caught:
        make_fetcher().read(f"{server.url}/none", {"Authorization": "Bearer k3y"}, robots=False)
    assert server.heard[-1]["authorization"] == "Bearer k3y"
    assert "k3y" not in str(caught.value) + caplog.text
