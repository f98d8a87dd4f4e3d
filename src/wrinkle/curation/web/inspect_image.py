"""Bytes → is it a picture, and of what size; by its header alone, nothing is decoded."""

import hashlib
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from wrinkle.curation.web.fetch_result import Answer, FetchError, FetchResult, Status
from wrinkle.errors import ImageError
from wrinkle.faces.decode import picture_size


def try_fetch(urls: Sequence[str], ask: Callable[[], Answer], max_pixels: int) -> FetchResult:
    """Get the picture at a URL; every error becomes a status.

    Args:
        urls: the URL; `ask` appends those that redirects lead to.
        ask: returns the bytes, or raises FetchError.
        max_pixels: largest width × height.
    """
    began, status, detail = datetime.now(UTC), Status.KEPT, ""
    answer = width = height = None
    try:
        answer = ask()
        width, height = image_size(answer.body, max_pixels)
    except FetchError as error:
        status, detail, answer = error.status, error.detail, error.answer or answer
    except Exception as error:  # files from the web can fail in any way
        status, detail = Status.UNFORESEEN, " ".join(repr(error).split())
    data = answer.body if answer and status == Status.KEPT else None
    return FetchResult(
        url=urls[0],
        final_url=urls[-1],
        status=status,
        fetched_at=began,
        detail=detail,
        http_status=answer.status if answer else None,
        content_type=answer.headers.get("content-type") if answer else None,
        sha256=hashlib.sha256(data).hexdigest() if data else None,
        width=width,
        height=height,
        data=data,
    )


def image_size(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Width and height of a picture by its header, in pixels as stored.

    Raises:
        FetchError: NOT_A_PICTURE, or TOO_MANY_PIXELS if there are more than `max_pixels`.
    """
    try:
        width, height = picture_size(io.BytesIO(data))
    except ImageError as error:
        raise FetchError(Status.NOT_A_PICTURE, str(error)) from None
    if width * height > max_pixels:
        raise FetchError(Status.TOO_MANY_PIXELS, f"{width}×{height}, the limit is {max_pixels:,}")
    return width, height
