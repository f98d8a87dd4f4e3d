"""A service on 127.0.0.1 that answers POSTs as a test defines, and a crop for it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from benchmarks.local_web import Route, answer, picture, serving

from wrinkle.curation.annotators import Crop
from wrinkle.faces.align import CROP_MARGIN, TEMPLATE

SIDE = 256
CROP = Crop(
    picture(size=(SIDE, SIDE)), ((TEMPLATE / CROP_MARGIN + 1) * SIDE / 2).astype(np.float32)
)


def reply(content: Any, status: int = 200, **headers: str) -> Route:
    return answer(json.dumps(content).encode(), status, **headers)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


@dataclass
class Heard:
    path: str
    headers: dict[str, str]
    body: bytes


class Service:
    """Gives `replies` in turn, the last one from then on; `heard` are the requests."""

    def __init__(self) -> None:
        self.replies: list[Route] = []
        self.heard: list[Heard] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.body = self.rfile.read(int(self.headers["content-length"]))
                headers = {k.lower(): v for k, v in self.headers.items()}
                service.heard.append(Heard(self.path, headers, self.body))
                turn = min(len(service.heard), len(service.replies)) - 1
                try:
                    service.replies[turn](self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def do_GET(self) -> None:
                service.heard.append(Heard(self.path, {}, b""))
                reply({})(self)

            def log_message(self, *_: Any) -> None:
                pass

        class Http(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass

        self._http = Http(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    @contextmanager
    def running(self) -> Iterator["Service"]:
        with serving(self._http):
            yield self
