"""Runs an application on uvicorn until SIGINT or SIGTERM, and then finishes what it has begun."""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from wrinkle.errors import WrinkleError

HEADER_SECONDS = 10.0
"""For the first byte of a connection and for the headers of each request."""


def listen(host: str, port: int) -> socket.socket:
    """Open the socket.

    Args:
        host: name or address.
        port: 0: any that is free.

    Raises:
        WrinkleError: it is in use, not allowed, or there is no such host.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
    except OSError as error:
        raise WrinkleError(f"cannot listen on {host}: {error.strerror or error}") from error
    try:
        if os.name == "posix":
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(2048)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRINUSE:
            raise WrinkleError(
                f"port {port} of {host} is in use: give another --port, or stop the other program"
            ) from error
        reason = os.strerror(error.errno) if error.errno else error
        raise WrinkleError(f"cannot listen on port {port} of {host}: {reason}") from error
    return found


def run(app: ASGIApp, listening: socket.socket, seconds: float) -> None:
    """Serve until a signal; requests that have begun are then answered.

    Args:
        app: the application.
        listening: from `listen`.
        seconds: that these requests have at most.
    """
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(seconds) + 1,
    )
    with _signals_end_it():
        uvicorn.Server(config).run([listening])


@contextmanager
def _signals_end_it() -> Iterator[None]:
    """After its shutdown uvicorn raises the signal again; here this must not kill the process."""
    before = {each: signal.signal(each, _ignore) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _ignore(*_: Any) -> None:
    """A handler, because a signal that is ignored by SIG_IGN stays ignored in child processes."""


class Protocol(H11Protocol):
    """HTTP/1.1 that closes connections whose headers do not arrive; uvicorn would wait for ever."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._patience is None:
            self._patience = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
