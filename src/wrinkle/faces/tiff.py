"""Read what Pillow leaves to libtiff, and refuse what libtiff and its libjpeg warn about."""

import os
import re
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import simplejpeg
from PIL import Image, TiffImagePlugin

_LOCK = threading.Lock()
_JPEG, _DEFLATE = 7, (8, 32946)
# libtiff writes "function or codec: message." to the standard error of the process.
_MESSAGE = re.compile(
    rb"(_?TIFF|ZIP|LZW|O?JPEG|Fax|PackBits|ThunderDecode|NeXT|LogL|Pixar|ZSTD|LERC|LZMA|WebP|WEBP"
    rb"|SGILog|Dump|Predictor|horAcc|fpAcc|horDiff|swabHor|setExtraSamples|tempfile)[^\n:]*: [^\n]*"
)


def uses_libtiff(image: Image.Image) -> bool:
    """Whether libtiff decodes this image, opened but not loaded."""
    tiles = getattr(image, "tile", [])
    return bool(tiles) and tiles[0][0] == "libtiff"


def check_strips(image: Image.Image, file: BinaryIO) -> None:
    """Decode the JPEG and deflate streams within a TIFF file.

    libtiff drops libjpeg's warnings, and does not read as far as the checksum of a deflate stream.

    Raises:
        ValueError: one of them is damaged.
    """
    tags = image.tag_v2  # type: ignore[attr-defined]
    compression = tags.get(TiffImagePlugin.COMPRESSION)
    if compression not in (_JPEG, *_DEFLATE):
        return
    tables = bytes(tags.get(347, b""))
    strips = (TiffImagePlugin.STRIPOFFSETS, TiffImagePlugin.STRIPBYTECOUNTS)
    for offsets, counts in (strips, (TiffImagePlugin.TILEOFFSETS, TiffImagePlugin.TILEBYTECOUNTS)):
        for offset, count in zip(_many(tags.get(offsets)), _many(tags.get(counts)), strict=False):
            file.seek(offset)
            stream = file.read(count)
            if compression in _DEFLATE:
                try:
                    zlib.decompress(stream)
                except zlib.error as error:
                    raise ValueError(str(error)) from error
                continue
            # The tables without their end marker, the strip without its start marker.
            data = tables[:-2] + stream[2:] if len(tables) > 4 else stream
            channels = simplejpeg.decode_jpeg_header(data)[2]
            simplejpeg.decode_jpeg(data, "CMYK" if channels in ("CMYK", "YCCK") else "RGB")


def _many(value: Any) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)


@contextmanager
def libtiff_messages() -> Iterator[list[str]]:
    """Collect what libtiff writes to standard error meanwhile; filled when the block ends.

    The descriptor belongs to the process: what other threads write meanwhile is passed on later.
    """
    messages: list[str] = []
    with _LOCK, tempfile.TemporaryFile() as caught:
        try:
            sys.stderr.flush()
            before = os.dup(2)
        except (AttributeError, OSError, ValueError):  # standard error is closed
            yield messages
            return
        os.dup2(caught.fileno(), 2)
        try:
            yield messages
        finally:
            os.dup2(before, 2)
            caught.seek(0)
            for line in caught.read().splitlines(keepends=True):
                if _MESSAGE.match(line):
                    messages.append(line.decode(errors="replace").strip())
                else:
                    os.write(before, line)
            os.close(before)
