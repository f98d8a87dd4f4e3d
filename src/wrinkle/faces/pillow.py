"""The pixels of images that Pillow has opened, and Pillow's warnings as errors."""

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, BinaryIO, cast

import cv2
import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from wrinkle.errors import ImageError
from wrinkle.faces.colour import to_srgb
from wrinkle.faces.native_messages import LIBTIFF, native_messages
from wrinkle.faces.samples import on_white, to_eight_bits
from wrinkle.faces.tiff import uses_libtiff

_EXIF_ORIENTATION = 0x0112
_MAX_SAMPLE_VALUE, _SMAX_SAMPLE_VALUE = 281, 341
_PILLOW = threading.RLock()


class DecoderError(ValueError):
    """What a decoder warned about."""


@contextmanager
def without_limits() -> Iterator[list[warnings.WarningMessage]]:
    """Pillow without its own pixel limit (`max_pixels` applies); collects its warnings.

    Both are settings of the process: they are changed under a lock and restored.
    """
    with _PILLOW, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield warned
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def refuse_warnings(warned: list[Any]) -> None:
    for each in warned:
        text = each if isinstance(each, str) else str(each.message)
        if isinstance(each, str) or issubclass(each.category, UserWarning):
            raise DecoderError(" ".join(text.split()))


def load(image: Image.Image) -> None:
    """Load a Pillow image; raises a ValueError for what Pillow and libtiff warn about."""
    # Pillow also checks its limit, and the TIFF reader warns, while loading: only then lock.
    large = image.width * image.height > (Image.MAX_IMAGE_PIXELS or 0)
    locked = large or image.format == "TIFF"
    quiet: Any = without_limits() if locked else nullcontext([])
    caught: Any = native_messages(LIBTIFF) if uses_libtiff(image) else nullcontext([])
    messages: list[str] = []
    with quiet as warned:
        try:
            with caught as messages:
                image.load()
        except Exception as error:
            if messages:
                raise DecoderError(messages[0]) from error
            raise
    refuse_warnings([*warned, *messages])


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation, 1–8; 1 where there is none. Raises ValueError if Pillow warns."""
    with without_limits() as warned:
        try:
            orientation: int = image.getexif().get(_EXIF_ORIENTATION, 1)
        except Exception:  # damaged metadata that Pillow does not warn about
            orientation = 1
    refuse_warnings(warned)
    return orientation


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation (Exif 2.32, tag 0x0112)."""
    match orientation:
        case 2:
            return cv2.flip(pixels, 1)
        case 3:
            return cv2.rotate(pixels, cv2.ROTATE_180)
        case 4:
            return cv2.flip(pixels, 0)
        case 5:
            return cv2.transpose(pixels)
        case 6:
            return cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            return cv2.transpose(cv2.rotate(pixels, cv2.ROTATE_180))
        case 8:
            return cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return pixels


def eight_bit_rgb(image: Image.Image, name: str, used_bits: int | None = None) -> np.ndarray:
    profile = image.info.get("icc_profile")
    if image.mode == "F" or image.mode.startswith("I"):
        grey = Image.fromarray(to_eight_bits(np.asarray(image), name, used_bits))
        return np.array(to_srgb(grey, profile).convert("RGB"))
    if image.has_transparency_data:
        if image.mode in ("LA", "La"):
            image = image.convert("LA")
            colour, alpha = image.convert("L"), image.getchannel("A")
        else:
            image = image.convert("RGBA")
            colour, alpha = image.convert("RGB"), image.getchannel("A")
        rgb = to_srgb(colour, profile).convert("RGB")
        return on_white(np.dstack([np.asarray(rgb), np.asarray(alpha)]))
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    return np.array(to_srgb(image, profile).convert("RGB"))


# Pillow keeps the upper bytes of colours of 16 bits. Of a file with up to 14 bits in the lower part
# of each sample that leaves almost nothing, so that the lower bytes are read as well.


def other_byte_order(image: ImageFile.ImageFile) -> str | None:
    """The raw mode with the other order of bytes if the file has colours of 16 bits, else None."""
    if image.mode not in ("RGB", "RGBA", "RGBX", "LA") or not image.tile:
        return None
    tile: Any = image.tile[0]
    args: Any = tile[3]
    raw_mode = args if isinstance(args, str) else args[0] if args else ""
    if not isinstance(raw_mode, str) or ";16" not in raw_mode:
        return None
    mode, _, order = raw_mode.partition(";16")
    big = order == "B" or (order == "N" and sys.byteorder == "big")
    return f"{mode};16{'L' if big else 'B'}"


def is_dark(image: Image.Image) -> bool:
    bands = image.split()
    colours = bands[:1] if image.mode == "LA" else bands[:3]
    return all(cast(tuple[int, int], band.getextrema())[1] < 64 for band in colours)


def lower_bytes(
    image: Image.Image, file: BinaryIO, name: str, raw_mode: str, used_bits: int | None
) -> Image.Image:
    """The image of 8 bits by all 16 bits of the file's samples; `image` has the upper bytes."""
    file.seek(0)
    try:
        with without_limits():
            other = Image.open(file, formats=(cast(str, image.format),))
        other.tile = [
            tile._replace(args=raw_mode if isinstance(tile[3], str) else (raw_mode, *tile[3][1:]))
            for tile in cast(Any, other.tile)
        ]
        load(other)
        lower = np.asarray(other)
    except Exception as error:
        raise ImageError(
            f"{name}: uses few of the 16 bits of its samples; save it with 8 bits"
        ) from error
    samples = (np.asarray(image).astype(np.uint16) << 8) | lower
    colours = 1 if image.mode == "LA" else 3
    parts = [samples[..., :colours], samples[..., colours:]]
    scaled = [to_eight_bits(part, name, used_bits) for part in parts]
    result = Image.fromarray(np.dstack(scaled), mode=image.mode)
    result.info = image.info
    return result


def tiff_bits(image: Image.Image) -> int | None:
    """The bits of each sample that are used, as a TIFF file's tags say; None for all of them."""
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    bits = [max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,)))]
    for tag in (_SMAX_SAMPLE_VALUE, _MAX_SAMPLE_VALUE):
        value = tags.get(tag, 65535)
        largest = max(value) if isinstance(value, tuple) else value
        if isinstance(largest, int | float) and 255 <= largest < 65535:
            bits.append(int(largest).bit_length())
    return min(bits) if min(bits) < 16 else None
