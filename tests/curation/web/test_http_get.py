import gzip
import io
import socket
import ssl
import time
import zlib

import pytest
from benchmarks.local_web import JPEG, Server, answer

from wrinkle.curation.web import http_get as module
from wrinkle.curation.web.addresses import parse
from wrinkle.curation.web.fetch_result import Answer, FetchError, Status


def get(url: str, seconds: float = 1.0, size: int = 100_000, **headers: str) -> Answer:
    return module.http_get(parse(url), ["127.0.0.1"], headers, seconds, size)


def failure(url: str, **limits) -> FetchError:
    with pytest.raises(FetchError) as caught:
        get(url, **limits)
    return caught.value


def raw(server: Server, data: bytes) -> str:
    """A page that is these raw bytes, then the end of the connection."""

    def route(handler) -> None:
        handler.wfile.write(data)
        handler.close_connection = True

    server.routes["/raw"] = route
    return f"{server.url}/raw"


def test_connects_to_the_given_address_with_the_urls_host_name(server, monkeypatch):
    def no_look_up(host, *_, **__):
        assert host == "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, server.port))]

    monkeypatch.setattr(socket, "getaddrinfo", no_look_up)
    server.routes["/a"] = answer(JPEG)
    assert get(server.at("pictures.example", "/a?b=%20")).body == JPEG
    assert server.asked == ["/a?b=%20"]
    assert server.heard[0]["host"] == f"pictures.example:{server.port}"
    assert server.heard[0]["accept-encoding"] == "identity"


def test_tls_checks_the_name_and_not_the_address(server, monkeypatch):
    names = []

    class Context(ssl.SSLContext):
        def wrap_socket(self, *_, server_hostname=None, **__):
            names.append(server_hostname)
            raise ssl.SSLError("no further")

    monkeypatch.setattr(module, "_tls", lambda: Context(ssl.PROTOCOL_TLS_CLIENT))
    url = parse(f"https://pictures.example:{server.port}/")
    with pytest.raises(FetchError, match=r"no connection: .*no further"):
        module.http_get(url, ["127.0.0.1"], {}, 1, 1)
    assert names == ["pictures.example"]


def test_the_next_address_is_tried_if_one_fails(server):
    server.routes["/a"] = answer(JPEG)
    url = parse(server.at("h", "/a"))
    assert module.http_get(url, ["127.0.0.9", "127.0.0.1"], {}, 1, 99_999).body == JPEG


def test_proxies_of_the_environment_are_not_used(server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.routes["/a"] = answer(JPEG)
    assert get(f"{server.url}/a").body == JPEG


def test_a_slow_endless_answer_times_out(server):
    def trickle(head: bytes):
        def route(handler) -> None:
            handler.wfile.write(head)
            for _ in range(40):
                handler.wfile.write(b"x")
                time.sleep(0.02)

        return route

    server.routes["/body"] = trickle(b"HTTP/1.1 200 OK\r\n\r\n")
    server.routes["/head"] = trickle(b"HTTP/1.1 200 OK\r\nX: ")
    server.routes["/silent"] = trickle(b"")
    for path in server.routes:
        began = time.monotonic()
        assert failure(server.url + path, seconds=0.15).status == Status.TOO_SLOW
        assert time.monotonic() - began < 0.7


def test_an_endless_answer_is_too_large(server):
    def flood(handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            handler.wfile.write(bytes(65536))

    server.routes["/flood"] = flood
    error = failure(f"{server.url}/flood", size=200_000)
    assert (error.status, error.answer.status) == (Status.TOO_LARGE, 200)


def test_endless_headers_fail(server):
    head = b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000
    assert failure(raw(server, head)).status == Status.NO_CONNECTION


def test_an_announced_size_above_the_limit_is_refused(server):
    url = raw(server, b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\nx")
    assert failure(url, size=1000).detail == "9,000,000, the limit is 1,000"


def test_size_limit_is_exact(server):
    server.routes["/a"] = answer(bytes(1000))
    assert len(get(f"{server.url}/a", size=1000).body) == 1000
    assert failure(f"{server.url}/a", size=999).status == Status.TOO_LARGE


@pytest.mark.parametrize(
    ("encoding", "bomb"),
    [("gzip", gzip.compress(bytes(10_000_000))), ("deflate", zlib.compress(bytes(10_000_000)))],
)
def test_compressed_answers_are_refused(server, encoding, bomb):
    server.routes["/a"] = answer(bomb, content_encoding=encoding)
    error = failure(f"{server.url}/a")
    assert (error.status, error.detail) == (Status.COMPRESSED, f"Content-Encoding: {encoding}")


def test_a_body_shorter_than_announced_is_an_error(server):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    assert failure(raw(server, head + JPEG)).status == Status.CUT_SHORT
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\nabc"
    assert failure(raw(server, chunked)).status == Status.CUT_SHORT


def test_a_body_longer_than_announced_is_cut(server):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"
    assert get(raw(server, head + JPEG)).body == JPEG[:7]


def test_answers_that_are_not_http_are_errors(server):
    for data in (b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 two hundred\r\n\r\n", JPEG):
        assert failure(raw(server, data)).status == Status.NO_CONNECTION
    closed = "http://127.0.0.1:9/"
    assert failure(closed).status == Status.NO_CONNECTION


def test_bodies_of_errors_are_not_read(server):
    server.routes["/a"] = answer(bytes(50_000), status=503, x_reason="tired")
    said = get(f"{server.url}/a", size=10)
    assert (said.status, said.headers["x-reason"], said.body) == (503, "tired", b"")


@pytest.mark.parametrize("key", ["k3y\r\nX: y", "k3y\x00", "k3yé", "k3y "])
def test_a_key_that_cannot_be_sent_is_not_shown(server, key, caplog):
    caplog.set_level("DEBUG")
    with pytest.raises(FetchError, match="a header that cannot be sent") as caught:
        get(server.url, Authorization=f"Bearer {key}")
    assert "k3y" not in str(caught.value)
    assert "k3y" not in caplog.text
    assert not server.asked


def test_logs_contain_no_key(server, caplog):
    caplog.set_level("DEBUG")
    server.routes["/a"] = answer(JPEG)
    get(f"{server.url}/a", Authorization="Bearer k3y")
    assert server.heard[0]["authorization"] == "Bearer k3y"
    assert "k3y" not in caplog.text


def test_pictures_are_not_in_a_repr():
    assert "body" not in repr(Answer(200, {}, io.BytesIO(JPEG).getvalue()))
