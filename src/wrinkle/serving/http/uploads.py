"""Requests → pictures in memory, within the limits. Nothing is written to a disk or fetched."""

import base64
import io
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from wrinkle.errors import ImageError
from wrinkle.faces.decode import picture_size
from wrinkle.faces.pictures import printable
from wrinkle.faces.signatures import AVIF_BRANDS, HEIF_BRANDS, brands, is_picture
from wrinkle.serving.http.limits import MEGABYTE, MEGAPIXEL, Limits
from wrinkle.serving.http.multipart import Multipart
from wrinkle.serving.http.problems import CLOSE, SOON, RequestError, first_fault
from wrinkle.serving.http.schemas import Pictures


@dataclass
class Upload:
    """A picture as it was sent."""

    name: str | None
    content: io.BytesIO
    """With the `name` that errors call it."""
    status: int = 422
    """Of a request in which no picture can be used: this one's."""
    error: str | None = None
    """Why it is not computed."""


class Held:
    """Bytes of all requests in memory."""

    def __init__(self, limit: int) -> None:
        self.limit, self.bytes = limit, 0

    def add(self, count: int) -> None:
        """Count further bytes.

        Raises:
            RequestError: 429, too many requests at a time are large.
        """
        if self.bytes + count > self.limit:
            raise RequestError(
                429, "too many large requests at a time: send the request again later", SOON | CLOSE
            )
        self.bytes += count


async def read_uploads(request: Request, limits: Limits, held: Held) -> tuple[list[Upload], int]:
    """Read the pictures of a request.

    Args:
        request: its body is multipart/form-data or JSON.
        limits: of its size.
        held: counts its bytes; the caller releases them.

    Returns:
        Its pictures, and the size of its body in bytes, which `held` has counted.

    Raises:
        RequestError: 413, 415, 422 or 429.
        ClientDisconnect: the client has gone.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = _Body(request, limits.bytes, held)
    try:
        if kind == "multipart/form-data":
            found = await _from_multipart(request, body, limits)
        elif kind == "application/json":
            content = b"".join([chunk async for chunk in body.chunks()])
            found = await run_in_threadpool(_from_json, content, limits.queue)
        else:
            given = f"not {kind}" if kind.isprintable() and kind else "with a Content-Type"
            raise RequestError(415, f"send multipart/form-data or application/json, {given}")
        await run_in_threadpool(_check, found, limits)
    except BaseException:
        held.bytes -= body.size
        raise
    return found, body.size


class _Body:
    def __init__(self, request: Request, limit: int, held: Held) -> None:
        self.request, self.limit, self.held, self.size = request, limit, held, 0

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body's parts.

        One that is too large is received up to twice the limit, and dropped: many clients read the
        answer only after they have sent everything.
        """
        dropped = 0
        if int(self.request.headers.get("content-length", 0)) > 2 * self.limit:
            raise self._too_large()
        async for chunk in self.request.stream():
            if self.size + len(chunk) <= self.limit and not dropped:
                self.held.add(len(chunk))
                self.size += len(chunk)
                yield chunk
            else:
                dropped += len(chunk)
                if self.size + dropped > 2 * self.limit:
                    break
        if dropped:
            raise self._too_large()

    def _too_large(self) -> RequestError:
        return RequestError(
            413,
            f"the request is too large: send at most {self.limit / MEGABYTE:g} MB at a time",
            CLOSE,
        )


async def _from_multipart(request: Request, body: _Body, limits: Limits) -> list[Upload]:
    multipart = Multipart(request.headers["content-type"], limits.queue)
    async for chunk in body.chunks():
        multipart.write(chunk)
    files = multipart.files()
    if not files:
        raise RequestError(422, "the request has no picture: send files in parts named `pictures`")
    return [_upload(name, content, number) for number, (name, content) in enumerate(files)]


def _from_json(body: bytes, most: int) -> list[Upload]:
    try:
        pictures = Pictures.model_validate_json(body).pictures
    except ValidationError as error:
        raise RequestError(422, first_fault(error.errors())) from None
    if len(pictures) > most:
        raise RequestError(413, f"too many pictures: send at most {most} at a time")
    found: list[Upload] = []
    for number, each in enumerate(pictures):
        try:
            upload = _upload(each.name, base64.b64decode(each.content, validate=True), number)
        except ValueError:
            upload = _upload(each.name, b"", number)
            upload.error = (
                f"{upload.content.name}: is not base64: send it without a `data:` prefix, line "
                "breaks and URL-safe letters"
            )
        found.append(upload)
    return found


def _upload(name: str | None, data: bytes, number: int) -> Upload:
    name = name.encode("utf-8", "replace").decode() if name else None
    content = io.BytesIO(data)
    content.name = printable(name) if name else f"picture {number + 1}"
    return Upload(name, content)


def _check(uploads: list[Upload], limits: Limits) -> None:
    """Set the error of pictures that are too large or no pictures, by their first bytes."""
    for upload in uploads:
        if upload.error is None:
            fault = _fault(upload.content, limits.pixels)
            if fault is not None:
                upload.status, reason = fault
                upload.error = f"{upload.content.name}: {reason}"
            upload.content.seek(0)


def _fault(content: io.BytesIO, most_pixels: int) -> tuple[int, str] | None:
    head = content.read(32)
    if not head:
        return 422, "is empty"
    if not is_picture(head):
        return 415, "is not a picture in a format that is read: send JPEG, PNG, WebP, TIFF, …"
    try:
        width, height = picture_size(content)
    except ImageError as error:
        if any(brand in AVIF_BRANDS + HEIF_BRANDS for brand in brands(head)):
            return 415, str(error).lstrip(": ")
        return 422, "is damaged: its header cannot be read"
    if width * height > most_pixels:
        most = f"{most_pixels / MEGAPIXEL:g} megapixels"
        return 413, f"has {width}×{height} pixels: send at most {most}"
    return None
