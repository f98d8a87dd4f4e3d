"""What becomes of a URL: a picture, or one reason out of a fixed set why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from wrinkle.errors import WrinkleError


class Status(StrEnum):
    """How the fetching of one URL ended."""

    KEPT = "kept"
    BAD_URL = "bad URL"  # not http or https, not a URL at all, or with a password in it
    NO_HOST = "no such host"
    NOT_PUBLIC = "address not public"  # private, loopback, link-local, reserved …
    ROBOTS = "against robots.txt"  # forbidden there, or the file could not be read
    NO_CONNECTION = "no connection"  # refused, reset, TLS failed; after all tries
    HTTP_ERROR = "HTTP error"  # any answer but 200; see http_status
    REDIRECTS = "too many redirects"
    TOO_SLOW = "too slow"
    TOO_LARGE = "too many bytes"
    COMPRESSED = "compressed answer"  # though we asked for none
    CUT_SHORT = "cut short"  # fewer bytes than announced
    NOT_A_PICTURE = "not a picture"  # by its bytes, whatever its name
    TOO_MANY_PIXELS = "too many pixels"  # by its header, before anything is decoded
    OUTSIDE = "outside its folder"  # a local file that a link leads away to
    UNREADABLE = "unreadable file"  # a local one
    UNFORESEEN = "unforeseen"


@dataclass(frozen=True)
class Answer:
    """What a server said; header names in lower case, `body` of answers 200 only.

    A local file is an answer without a status.
    """

    status: int | None
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)


class FetchError(WrinkleError):
    """Why there is no picture, or no page; `answer` where a server gave one."""

    def __init__(self, status: Status, detail: str = "", answer: Answer | None = None) -> None:
        self.status, self.detail, self.answer = status, " ".join(detail.split()), answer
        super().__init__(f"{status}: {self.detail}" if self.detail else str(status))


@dataclass(frozen=True)
class Fetched:
    """The end of one URL: as it was given, and where redirects led to.

    `content_type` is what the server claimed; `width` and `height`, in pixels as stored, are what
    the bytes say. `sha256` (hexadecimal) and `data` are there when `status` is "kept".
    """

    url: str
    final_url: str
    status: Status
    fetched_at: datetime
    """UTC, when it began."""
    detail: str = ""
    """One line for people, besides the reason."""
    http_status: int | None = None
    content_type: str | None = None
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    data: bytes | None = field(default=None, repr=False)
