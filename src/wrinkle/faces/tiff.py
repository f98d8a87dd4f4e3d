"""Read what Pillow leaves to libtiff, and refuse what libtiff and its libjpeg warn about."""

import zlib
from typing import Any, BinaryIO

import simplejpeg
from PIL import Image, TiffImagePlugin

_JPEG, _DEFLATE = 7, (8, 32946)


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
