"""What surrounds every request: its id, headers of safety, a log line, metrics, a last resort."""

import re
import time
import uuid
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wrinkle.serving.http.logs import log, report
from wrinkle.serving.http.metrics import Metrics
from wrinkle.serving.http.problems import RequestError

GONE = 499
"""Logged where a client closed the connection before the answer; never sent."""
HEADERS = {
    # Nothing but this service's own files: the browser blocks every other address.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Frame:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        facts: dict[str, int] = {}
        scope.setdefault("state", {})["facts"] = facts
        begun, status = time.perf_counter(), 0

        async def send_framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        with self.metrics.active.track_inprogress():
            try:
                await self.app(scope, receive, send_framed)
            except ClientDisconnect:
                status = GONE
            except Exception as error:
                report(error)
                if not status:
                    text = "the service failed: its log says where, under this X-Request-ID"
                    await RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, text).response()(
                        scope, receive, send_framed
                    )
            finally:
                self._note(scope, request_id, status or GONE, time.perf_counter() - begun, facts)

    def _note(
        self, scope: Scope, request_id: str, status: int, seconds: float, facts: dict[str, int]
    ) -> None:
        """Count a request, and log it."""
        path = getattr(scope.get("route"), "path", "other")
        self.metrics.requests.labels(_method(scope), path, status).inc()
        self.metrics.seconds.labels(path).observe(seconds)
        log(
            "request",
            request_id=request_id,
            method=_method(scope),
            path=path,
            status=status,
            seconds=round(seconds, 4),
            **facts,
        )


def _method(scope: Scope) -> str:
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
    return scope["method"] if scope["method"] in known else "other"
