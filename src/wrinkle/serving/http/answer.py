"""A request for ages, from its first byte to its answer."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from wrinkle.console import count
from wrinkle.serving.http.limits import Limits
from wrinkle.serving.http.metrics import Metrics
from wrinkle.serving.http.problems import CLOSE, SOON, RequestError
from wrinkle.serving.http.uploads import Held, Upload, read_uploads
from wrinkle.serving.http.worker import Worker
from wrinkle.serving.prediction import Prediction

Uploads = Sequence[Upload]


class Answering:
    """Answers requests, no more at a time than the limits allow."""

    def __init__(self, worker: Worker, limits: Limits, metrics: Metrics) -> None:
        self.worker, self.limits, self.metrics = worker, limits, metrics
        self._held = Held(limits.bytes_together)
        self._requests = 0

    async def answer(
        self, request: Request, at_least: Sequence[float] | None, distribution: bool
    ) -> JSONResponse:
        """Answer a request.

        Args:
            request: not yet read.
            at_least: as for `Prediction.to_dict`.
            distribution: as for `Prediction.to_dict`.

        Returns:
            A result for each of its pictures; a picture that cannot be used has an `error`.

        Raises:
            RequestError: it is invalid or beyond a limit, or none of its pictures can be used.
            ClientDisconnect: the client has gone.
        """
        with self._admitted():
            uploads, size = await self._received(request)
            try:
                predictions = await self._computed(request, uploads)
                found = await run_in_threadpool(
                    _pictures, uploads, predictions, at_least, distribution
                )
            finally:
                self._held.bytes -= size
        faces = sum(len(each["faces"]) for each in found)
        bad = sum(each["error"] is not None for each in found)
        self.metrics.faces.inc(faces)
        self.metrics.pictures.labels("error").inc(bad)
        self.metrics.pictures.labels("ok").inc(len(found) - bad)
        request.state.facts.update(bytes=size, pictures=len(found), faces=faces, bad=bad)
        if bad == len(found):
            first = found[0]["error"]
            text = f"none of the {count(bad, 'picture')} can be used; {first}" if bad > 1 else first
            raise RequestError(uploads[0].status, text, more={"pictures": found})
        return JSONResponse({"pictures": found})

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._requests >= self.limits.requests:
            raise RequestError(
                429, "too many requests at a time: send it again later", SOON | CLOSE
            )
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    async def _received(self, request: Request) -> tuple[list[Upload], int]:
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await read_uploads(request, self.limits, self._held)
        except TimeoutError:
            text = f"the request was not received within {self.limits.seconds:g} seconds"
            raise RequestError(408, f"{text}: send it again", CLOSE) from None

    async def _computed(self, request: Request, uploads: Uploads) -> list[Prediction]:
        """Predictions of the pictures without an error, in their order."""
        usable = [upload for upload in uploads if upload.error is None]
        jobs = [
            asyncio.wrap_future(each) for each in self.worker.submit([u.content for u in usable])
        ]
        try:
            async with asyncio.timeout(self.limits.seconds):
                waiting = set(jobs)
                while waiting:
                    _, waiting = await asyncio.wait(waiting, timeout=1)
                    if waiting and await request.is_disconnected():
                        raise ClientDisconnect
        except TimeoutError:
            text = f"the pictures were not computed within {self.limits.seconds:g} seconds"
            raise RequestError(503, f"{text}: send fewer at a time, or later", SOON) from None
        finally:
            for job in jobs:
                job.cancel()
        for upload, job in zip(usable, jobs, strict=True):
            if job.exception() is not None:
                upload.status = 500
                upload.error = f"{upload.content.name}: the service failed on it"
        return [job.result() for job in jobs if job.exception() is None]


def _pictures(
    uploads: Uploads,
    predictions: list[Prediction],
    at_least: Sequence[float] | None,
    distribution: bool,
) -> list[dict[str, Any]]:
    computed = iter(predictions)
    found = []
    for upload in uploads:
        if upload.error is None:
            prediction = next(computed)
        else:
            prediction = Prediction(upload.content, [], error=upload.error)
        each = prediction.to_dict(at_least, distribution)
        found.append(each | {"path": upload.name, "left_out": prediction.left_out})
    return found
