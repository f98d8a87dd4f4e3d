"""One GET to an address that was checked before, limited in time and size.

httpcore2 asks for every connection and every read, decompresses nothing, follows no redirect and
reads no proxy from the environment: a proxy would look the name up again, after the check.
"""

import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from functools import cache

import httpcore2
from ada_url import URL

from wrinkle.curation.web.fetch_result import Answer, FetchError, Status

CONNECT_SECONDS = 10.0


def http_get(
    url: URL,
    addresses: Sequence[str],
    headers: Mapping[str, str],
    seconds: float,
    size: int,
) -> Answer:
    """Ask one of `addresses` for a URL; Host header and TLS use the URL's host name.

    Args:
        addresses: tried in turn until one can be connected to.
        seconds: from the connection to the last byte.
        size: largest body in bytes, announced or sent.

    Raises:
        FetchError: NO_CONNECTION, TOO_SLOW, TOO_LARGE, COMPRESSED or CUT_SHORT.
    """
    target = httpcore2.URL(url.href)
    backend = _CheckedAddresses(addresses, time.monotonic() + seconds)
    asked = {"Host": url.host, "Accept-Encoding": "identity", **headers}
    if not all(map(_sendable, asked.values())):
        # httpcore2 would refuse it too, and quote a key in the header in its log.
        raise FetchError(Status.UNFORESEEN, "a header that cannot be sent")
    answer = None
    try:
        with (
            closing(
                httpcore2.HTTPConnection(target.origin, ssl_context=_tls(), network_backend=backend)
            ) as connection,
            connection.stream("GET", target, headers=list(asked.items())) as response,
        ):
            answer = Answer(response.status, _decoded(response.headers))
            return answer if answer.status != 200 else _with_body(answer, response, size)
    except httpcore2.ConnectTimeout:
        raise FetchError(Status.NO_CONNECTION, "no answer") from None
    except httpcore2.TimeoutException:
        raise FetchError(Status.TOO_SLOW, f"not done in {seconds:g} s", answer) from None
    except (httpcore2.NetworkError, httpcore2.RemoteProtocolError) as error:
        status = Status.CUT_SHORT if answer else Status.NO_CONNECTION
        raise FetchError(status, str(error), answer) from None


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _sendable(value: str) -> bool:
    return value.isascii() and value.isprintable() and value == value.strip()


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode().lower(): value.decode("utf-8", "replace") for name, value in headers}


def _with_body(answer: Answer, response: httpcore2.Response, size: int) -> Answer:
    encoding = answer.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise FetchError(Status.COMPRESSED, f"Content-Encoding: {encoding}", answer)
    announced = int(answer.headers.get("content-length", 0))
    if announced > size:
        raise FetchError(Status.TOO_LARGE, f"{announced:,}, the limit is {size:,}", answer)
    body = bytearray()
    for part in response.iter_stream():
        body += part
        if len(body) > size:
            raise FetchError(Status.TOO_LARGE, f"more than the limit of {size:,}", answer)
    return Answer(answer.status, answer.headers, bytes(body))


class _CheckedAddresses(httpcore2.NetworkBackend):
    """Connects to the given addresses, whatever the name; its streams have a deadline."""

    def __init__(self, addresses: Sequence[str], deadline: float) -> None:
        self._addresses, self._deadline = addresses, deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        failed: Exception = httpcore2.ConnectError("no address")
        for address in self._addresses:
            try:
                seconds = min(CONNECT_SECONDS, _left(self._deadline))
                stream = httpcore2.SyncBackend().connect_tcp(address, port, seconds)
                return _Stream(stream, self._deadline)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed


class _Stream(httpcore2.NetworkStream):
    """A connection with one deadline for everything on it, however slowly bytes arrive."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline
        self.close, self.get_extra_info = stream.close, stream.get_extra_info  # type: ignore[method-assign]

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        seconds = min(CONNECT_SECONDS, _left(self._deadline))
        stream = self._stream.start_tls(ssl_context, server_hostname, seconds)
        return _Stream(stream, self._deadline)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout
    return left
