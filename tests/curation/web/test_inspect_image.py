import hashlib
import struct
import sys
import zlib
from datetime import UTC, datetime

import pytest
from benchmarks.local_web import JPEG, picture

from wrinkle.curation.web.fetch_result import Answer, FetchError, Status
from wrinkle.curation.web.inspect_image import image_size, try_fetch


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be this large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b"")


def test_every_format_has_its_size():
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "JPEG2000", "PPM"):
        assert image_size(picture(kind, (31, 17)), 1000) == (31, 17), kind


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"<!DOCTYPE html><title>404</title>", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        *(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"PK\x03\x04", JPEG[:20], b"P6\n"),
    ],
)
def test_bytes_that_are_not_a_picture_are_reported(data):
    with pytest.raises(FetchError) as caught:
        image_size(data, 1000)
    assert caught.value.status == Status.NOT_A_PICTURE
    assert "\n" not in str(caught.value)


def test_a_format_that_needs_an_extra_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(FetchError, match=r"reading HEIC needs an extra: pip install"):
        image_size(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", 1000)


def test_the_number_of_pixels_is_read_from_the_header():
    limit = 12 * 9
    assert image_size(JPEG, limit) == (12, 9)
    with pytest.raises(FetchError, match="too many pixels: 12×9, the limit is 107"):
        image_size(JPEG, limit - 1)
    for width, height in ((50_000, 50_000), (2**31 - 1, 2**31 - 1)):
        with pytest.raises(FetchError) as caught:
            image_size(png_header(width, height), 100_000_000)
        assert caught.value.status == Status.TOO_MANY_PIXELS


def test_a_picture_gives_its_digest_and_size():
    before = datetime.now(UTC)
    done = try_fetch(["u", "v"], lambda: Answer(200, {"content-type": "text/x"}, JPEG), 1000)
    assert (done.url, done.final_url, done.status, done.detail) == ("u", "v", "kept", "")
    assert (done.http_status, done.content_type) == (200, "text/x")
    assert (done.width, done.height, done.data) == (12, 9, JPEG)
    assert done.sha256 == hashlib.sha256(JPEG).hexdigest()
    assert before <= done.fetched_at <= datetime.now(UTC)
    assert "data" not in repr(done)


def test_an_error_gives_its_reason():
    def refuse() -> Answer:
        raise FetchError(Status.HTTP_ERROR, "HTTP 404\r\nX: y", Answer(404, {}))

    done = try_fetch(["u"], refuse, 1000)
    assert (done.status, done.detail) == (Status.HTTP_ERROR, "HTTP 404 X: y")
    assert (done.http_status, done.sha256, done.width, done.data) == (404, None, None, None)
    html = try_fetch(["u"], lambda: Answer(200, {"content-type": "image/jpeg"}, b"<html>"), 1000)
    assert (html.status, html.http_status) == (Status.NOT_A_PICTURE, 200)
    assert (html.content_type, html.data) == ("image/jpeg", None)


def test_only_a_stop_is_raised():
    def fail(error: BaseException):
        def ask() -> Answer:
            raise error

        return ask

    done = try_fetch(["u"], fail(RuntimeError("odd\nbytes")), 1000)
    assert (done.status, done.detail) == (Status.UNFORESEEN, "RuntimeError('odd\\nbytes')")
    with pytest.raises(KeyboardInterrupt):
        try_fetch(["u"], fail(KeyboardInterrupt()), 1000)


def test_all_reasons_differ():
    assert len({str(status) for status in Status}) == len(Status)
