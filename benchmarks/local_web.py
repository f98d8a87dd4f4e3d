"""A web server on 127.0.0.1 with given answers, for benchmarks and tests of curation."""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any

from PIL import Image

CONTACT = "someone@example.org"
LOOPBACK = [ip_network("127.0.0.1/32")]

Route = Callable[[BaseHTTPRequestHandler], None]


def picture(kind: str = "JPEG", size: tuple[int, int] = (12, 9)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "olive").save(buffer, kind)
    return buffer.getvalue()


JPEG = picture()


def answer(body: bytes = b"", status: int = 200, **headers: str) -> Route:
    """A route; `content_type="image/png"` is the header Content-Type."""

    def route(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in ({"content_length": str(len(body))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return route


def redirect(to: str) -> Route:
    return answer(status=302, location=to)


class Server:
    """Serves `routes`, path → route, and 404 for other paths.

    Attributes:
        asked: the paths of all requests.
        heard: their headers, names in lower case.
    """

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.asked: list[str] = []
        self.heard: list[dict[str, str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append(self.path)
                server.heard.append({k.lower(): v for k, v in self.headers.items()})
                path = self.path.partition("?")[0]
                try:
                    server.routes.get(path, answer(b"no", 404))(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        class Http(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:  # clients that close the connection
                pass

        self._http = Http(("127.0.0.1", 0), Handler)
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def at(self, host: str, path: str) -> str:
        """A URL of this server under another host name, see `resolve_to_loopback`."""
        return f"http://{host}:{self.port}{path}"

    @property
    def pages(self) -> list[str]:
        return [path for path in self.asked if path != "/robots.txt"]

    @contextmanager
    def running(self) -> Iterator["Server"]:
        with serving(self._http):
            yield self


@contextmanager
def serving(http: ThreadingHTTPServer) -> Iterator[None]:
    """Answer requests in a thread while the block runs."""
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield
    finally:
        http.shutdown()
        http.server_close()


def resolve_to_loopback(host: str, port: int) -> list[str]:
    """A resolver by which every host name is 127.0.0.1."""
    return ["127.0.0.1"]
