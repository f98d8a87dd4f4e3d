"""What fetching a URL led to: a picture, or one of a fixed set of reasons why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from wrinkle.errors import WrinkleError


class Status(StrEnum):
    """How fetching one URL ended. The values are stored in tables."""

    KEPT = "kept"
    BAD_URL = "bad URL"  # not http or https, not a URL, or one with a password
    NO_HOST = "no such host"
    NOT_PUBLIC = "address not public"  # private, loopback, link-local, reserved …
    ROBOTS = "against robots.txt"  # forbidden there, or the file could not be read
    NO_CONNECTION = "no connection"  # refused, reset, TLS failed; after all tries
    HTTP_ERROR = "HTTP error"  # any status but 200; see http_status
    REDIRECTS = "too many redirects"
    TOO_SLOW = "too slow"
    TOO_LARGE = "too many bytes"
    COMPRESSED = "compressed answer"  # although none was accepted
    CUT_SHORT = "cut short"  # fewer bytes than announced
    NOT_A_PICTURE = "not a picture"  # by its content, whatever its name
    TOO_MANY_PIXELS = "too many pixels"  # by its header, before anything is decoded
    OUTSIDE = "outside its folder"  # a local file reached by a link
    UNREADABLE = "unreadable file"  # a local one
    UNFORESEEN = "unforeseen"


@dataclass(frozen=True)
class Answer:
    """A server's response, or a local file.

    Attributes:
        status: the HTTP status; None for a local file.
        headers: names in lower case.
        body: only of status 200 and of files.
    """

    status: int | None
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)


class FetchError(WrinkleError):
    """Why a URL gives no picture or page; `answer` is the server's response if there was one."""

    def __init__(self, status: Status, detail: str = "", answer: Answer | None = None) -> None:
        self.status, self.detail, self.answer = status, " ".join(detail.split()), answer
        super().__init__(f"{status}: {self.detail}" if self.detail else str(status))


@dataclass(frozen=True)
class FetchResult:
    """The result of fetching one URL.

    Attributes:
        url: as it was given.
        final_url: after redirects.
        fetched_at: when it began, UTC.
        detail: one line that adds to `status`.
        content_type: as the server says.
        sha256: of `data`, hexadecimal; only if `status` is "kept".
        width: in pixels as stored, by the picture's header; likewise `height`.
        data: the picture's bytes; only if `status` is "kept".
    """

    url: str
    final_url: str
    status: Status
    fetched_at: datetime
    detail: str = ""
    http_status: int | None = None
    content_type: str | None = None
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    data: bytes | None = field(default=None, repr=False)
