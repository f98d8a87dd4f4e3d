"""The one form of every error: RFC 9457's problem details, with one clear sentence."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"
CLOSE = {"Connection": "close"}
"""For an answer before the request was received: the rest of it is not wanted."""
SOON = {"Retry-After": "1"}


class RequestError(Exception):
    """A request that cannot be answered.

    Args:
        status: HTTP status, 400 or more.
        detail: one sentence that says what is wrong and what to do.
        headers: further headers of the response.
        more: further members of its body.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.headers, self.more = dict(headers or {}), dict(more or {})

    def response(self) -> JSONResponse:
        """The response in problem form."""
        body = {
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        return JSONResponse(body, self.status, self.headers, MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Let the framework's own errors have the same form."""

    @app.exception_handler(RequestError)
    async def ours(_: Request, problem: RequestError) -> JSONResponse:
        return problem.response()

    @app.exception_handler(HTTPException)
    async def frameworks(_: Request, error: HTTPException) -> JSONResponse:
        detail = {
            404: "there is nothing at this address; /openapi.json lists the addresses",
            405: "this address does not take this method; the header Allow lists those it takes",
        }.get(error.status_code, str(error.detail))
        return RequestError(error.status_code, detail, error.headers).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return RequestError(422, first_fault(error.errors())).response()


def first_fault(faults: Sequence[Any]) -> str:
    """The first fault that pydantic found, as a sentence."""
    where = ".".join(str(part) for part in faults[0]["loc"] if part not in ("query", "body"))
    message = str(faults[0]["msg"])
    return f"{where or 'the body'}: {message[:1].lower()}{message[1:]}"
