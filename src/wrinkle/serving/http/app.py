"""The addresses of the service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.staticfiles import StaticFiles

import wrinkle.serving
from wrinkle import __version__
from wrinkle.serving.estimator import AgeEstimator
from wrinkle.serving.http import schemas
from wrinkle.serving.http.answer import Answering
from wrinkle.serving.http.frame import Frame
from wrinkle.serving.http.keys import Keys
from wrinkle.serving.http.limits import Limits
from wrinkle.serving.http.logs import report
from wrinkle.serving.http.metrics import Metrics
from wrinkle.serving.http.problems import SOON, RequestError, add_handlers
from wrinkle.serving.http.worker import Worker

PAGE = Path(wrinkle.serving.__file__).parent / "page"
"""The page's files."""
_ERRORS = {
    408: "the request was not received in time",
    413: "the request has too many bytes or pictures, or each of its pictures too many pixels",
    415: "neither multipart/form-data nor JSON, or none of its files is a picture",
    422: "the request is invalid, or none of its pictures can be used",
    429: "too many requests at a time: send it again after `Retry-After` seconds",
    500: "the service failed",
    503: "the service is stopping, or the pictures were not computed in time",
}

_TEXT = {"text/plain": {"schema": {"type": "string"}}}
Responses = dict[int | str, dict[str, Any]]


class App(FastAPI):
    """FastAPI with the schemas of requests that it does not read itself, and of errors."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI schema."""
        if self.openapi_schema is None:
            super().openapi()["components"]["schemas"].update(schemas.definitions())
        return super().openapi()


def create_app(
    estimator: AgeEstimator,
    limits: Limits | None = None,
    keys: Keys | None = None,
    batch: int = 32,
) -> FastAPI:
    """Create the service.

    Args:
        estimator: computes the ages; its `max_faces` limits the faces of a picture.
        limits: what is accepted; None: the defaults.
        keys: one of which a request must send; None: it needs none.
        batch: pictures that are read ahead, as for `AgeEstimator.stream`.

    Returns:
        The ASGI application. At its shutdown it computes what waits.
    """
    limits, keys = limits or Limits(), keys or Keys([])
    worker = Worker(estimator, batch, limits.queue, limits.seconds, report)
    metrics = Metrics(lambda: worker.waiting)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(worker.close)

    # FastAPI's own pages of the schema load scripts from other servers.
    app = App(
        title="wrinkle", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan
    )
    app.add_middleware(Frame, metrics=metrics)
    add_handlers(app)
    _add_ages(app, Answering(worker, limits, metrics), keys)
    _add_operation(app, worker, metrics, keys)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE))
    return app


def _add_ages(app: FastAPI, answering: Answering, keys: Keys) -> None:
    errors: Responses = {status: schemas.problem(text) for status, text in _ERRORS.items()}

    @app.post(
        "/v1/ages",
        response_model=schemas.Ages,
        responses=errors | _refused(keys),
        openapi_extra={"requestBody": schemas.request_body()},
        dependencies=_guard(keys),
        summary="Estimate the ages of all faces in pictures",
    )
    async def ages(
        request: Request,
        at_least: Annotated[
            list[schemas.Threshold] | None,
            Query(max_length=128, description="ages: adds P(this age or more) to each face"),
        ] = None,
        distribution: Annotated[
            bool, Query(description="adds the probability of each age to each face")
        ] = False,
    ) -> Response:
        return await answering.answer(request, at_least, distribution)


def _add_operation(app: FastAPI, worker: Worker, metrics: Metrics, keys: Keys) -> None:
    @app.get(
        "/health",
        response_model=schemas.Health,
        responses={503: schemas.problem("the service is stopping or has failed")},
        summary="Say whether requests are answered",
    )
    async def health() -> dict[str, str]:
        if not worker.alive:
            raise RequestError(503, "the service computes no pictures: start it again", SOON)
        return {"status": "ok", "version": __version__}

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": _TEXT}, **_refused(keys)},
        dependencies=_guard(keys),
        summary="Measurements for Prometheus",
    )
    async def measurements() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _guard(keys: Keys) -> list[Any]:
    return [Depends(keys.check)] if keys else []


def _refused(keys: Keys) -> Responses:
    return {401: schemas.problem("the API key is missing or wrong")} if keys else {}
