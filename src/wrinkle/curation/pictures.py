"""Bytes → the record of a picture: is it one, and how large, by its header alone."""

import hashlib
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from wrinkle.curation.records import Answer, Fetched, FetchError, Status
from wrinkle.errors import ImageError
from wrinkle.faces.decode import picture_size


def record(hops: Sequence[str], ask: Callable[[], Answer], pixels: int) -> Fetched:
    """What becomes of the URL hops[0]; never raises.

    Args:
        hops: where redirects lead; `ask` adds to it.
        ask: brings the bytes, or raises FetchError.
        pixels: largest width × height.
    """
    began, status, detail = datetime.now(UTC), Status.KEPT, ""
    answer = width = height = None
    try:
        answer = ask()
        width, height = measure(answer.body, pixels)
    except FetchError as error:
        status, detail, answer = error.status, error.detail, error.answer or answer
    except Exception as error:  # nobody foresees all that strangers send
        status, detail = Status.UNFORESEEN, " ".join(repr(error).split())
    data = answer.body if answer and status == Status.KEPT else None
    return Fetched(
        url=hops[0],
        final_url=hops[-1],
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


def measure(data: bytes, most: int) -> tuple[int, int]:
    """Width and height of a picture by its header, in pixels as stored; nothing is decoded.

    Raises:
        FetchError: NOT_A_PICTURE, or TOO_MANY_PIXELS where there are more than `most`.
    """
    try:
        width, height = picture_size(io.BytesIO(data))
    except ImageError as error:
        raise FetchError(Status.NOT_A_PICTURE, str(error)) from None
    if width * height > most:
        raise FetchError(Status.TOO_MANY_PIXELS, f"{width}×{height}, the limit is {most:,}")
    return width, height
