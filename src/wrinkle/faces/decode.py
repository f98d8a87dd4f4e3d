"""Decode photographs of any common format to upright 8-bit sRGB.

A picture that cannot be used raises `ImageError` with one line that names it. A file that is cut
short, or about which a decoder warns, is refused: what decoders fill in would be read as skin.
"""

import io
import os
import stat
import threading
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError, features

from wrinkle.errors import ImageError, install_command
from wrinkle.faces import signatures
from wrinkle.faces.colour import array_to_srgb
from wrinkle.faces.jpeg import decode_jpeg
from wrinkle.faces.pictures import (
    ACCEPTED,
    Picture,
    describe,
    is_open_file,
    is_tensor,
    is_url,
    printable,
    read_open_file,
    tensor_to_array,
)
from wrinkle.faces.pillow import (
    DecoderError,
    eight_bit_rgb,
    is_dark,
    load,
    lower_bytes,
    orientation_of,
    other_byte_order,
    refuse_warnings,
    tiff_bits,
    upright,
    without_limits,
)
from wrinkle.faces.samples import array_to_rgb
from wrinkle.faces.tiff import check_strips

# Formats of photographs only: Pillow would also hand PostScript files to an interpreter.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000")
# For Pillow images: one that is given several times must not be read by two threads at once.
_IMAGES = tuple(threading.RLock() for _ in range(16))


def decode(source: Picture, max_pixels: int = 200_000_000) -> np.ndarray:
    """Decode one picture, the first frame where a file holds several.

    Transparent pixels are blended with white, an embedded ICC profile is converted to sRGB, and
    samples of other types and ranges are scaled to 8 bits (`samples.to_eight_bits`). The EXIF
    orientation is applied to files, and to Pillow images as `Image.open` returns them. An image
    that was made from such a one, by `transpose`, `convert`, `resize` or any other method, is
    taken as it is: Pillow keeps the EXIF tag of an image that was turned.

    Args:
        source: a file's path, a file's content (bytes, bytearray, memoryview), a binary file object
            (read from its start where it can seek), a Pillow image, an array (H, W), (H, W, 1),
            (H, W, 3) RGB or (H, W, 4) RGBA, or a tensor of such a shape or with channels first.
        max_pixels: largest width × height, checked before anything is decoded.

    Returns:
        (H, W, 3) uint8 RGB, contiguous. A contiguous RGB array is returned without a copy.

    Raises:
        ImageError: the picture cannot be used; the line names it and says why.
    """
    if isinstance(source, np.ndarray) or is_tensor(source):
        kind = "array" if isinstance(source, np.ndarray) else "tensor"
        array = tensor_to_array(source)
        if array.ndim in (2, 3):
            _check_size(f"the {kind}", array.shape[1], array.shape[0], max_pixels)
        return array_to_rgb(np.asarray(array), f"the {kind}")
    if isinstance(source, Image.Image):
        name = printable(str(getattr(source, "filename", "") or "the Pillow image"))
        with _IMAGES[id(source) // 64 % len(_IMAGES)]:
            return _from_image(source, name, max_pixels)
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_file(io.BytesIO(source), "the picture given as bytes", max_pixels)
    if is_open_file(source):
        content = read_open_file(source)
        return _from_file(content, str(content.name), max_pixels)
    if not isinstance(source, str | os.PathLike):
        raise ImageError(f"cannot read {describe(source)} as a picture: {ACCEPTED}")
    if is_url(source):
        raise ImageError(
            f"{printable(str(source)[:60])}: is a URL, and URLs are not fetched; "
            "download the picture and give its path or its content"
        )
    return _from_path(Path(os.fsdecode(source)), max_pixels)


def _from_path(path: Path, max_pixels: int) -> np.ndarray:
    name = printable(str(path))
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise ImageError(f"{name}: is a folder, not a picture")
        if not stat.S_ISREG(kind):  # opening a pipe can wait for ever
            raise ImageError(f"{name}: is not a regular file but a pipe, socket or device")
        with path.open("rb") as file:
            return _from_file(file, name, max_pixels)
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{name}: cannot be read ({reason})") from error


def count_pixels(source: Picture) -> int:
    """Width × height by the picture's header, not decoded; 0 where `decode` would refuse it."""
    if isinstance(source, Image.Image):
        return source.width * source.height
    try:
        if isinstance(source, np.ndarray) or is_tensor(source):
            return int(np.prod(tensor_to_array(source).shape[:2]))
        if isinstance(source, io.BytesIO):
            width, height = picture_size(source)
        elif isinstance(source, str | os.PathLike):
            if not os.path.isfile(source):
                return 0
            with Path(source).open("rb") as file:
                width, height = picture_size(file)
        else:
            width, height = picture_size(io.BytesIO(cast(bytes, source)))
        return width * height
    except Exception:  # `decode` says what is wrong
        return 0


def picture_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height of a picture by its header, in pixels as stored; nothing is decoded.

    Raises:
        ImageError: not a picture, or one whose format needs an extra that is missing.
    """
    file.seek(0)
    head = file.read(32)
    file.seek(0)
    try:
        with without_limits(), Image.open(file, formats=_formats(head, "")) as image:
            return image.width, image.height
    except ImageError:
        raise
    except Exception as error:  # Pillow's readers raise nearly anything on malicious bytes
        raise ImageError(f"it begins with {head[:16]!r}") from error


def _from_file(file: BinaryIO, name: str, max_pixels: int) -> np.ndarray:
    head = file.read(32)
    if not head:
        raise ImageError(f"{name}: is empty")
    file.seek(0)
    formats = _formats(head, name)
    try:
        with without_limits() as warned:
            image = Image.open(file, formats=formats)
        refuse_warnings(warned)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise _unknown(file, head, name) from None
    except Exception as error:  # Pillow's readers raise nearly anything on malicious bytes
        raise _refusal(name, error, file) from error
    with image:
        _check_size(name, *image.size, max_pixels)
        try:
            return _decoded(image, file, name)
        except ImageError:
            raise
        except Exception as error:  # Pillow's readers again
            raise _refusal(name, error, file) from error


def _decoded(opened: ImageFile.ImageFile, file: BinaryIO, name: str) -> np.ndarray:
    """The pixels of a file, just opened by Pillow; may raise anything."""
    image: Image.Image = opened
    position = file.tell()
    used_bits = None
    if image.format in ("JPEG", "MPO"):
        orientation = orientation_of(image)
        file.seek(0)
        pixels = decode_jpeg(file.read(), image, name)
        if pixels is not None:
            profile = image.info.get("icc_profile")
            return upright(array_to_srgb(pixels, image.mode, profile), orientation)
    elif image.format in ("PNG", "TIFF"):
        try:
            if image.format == "PNG":
                used_bits = signatures.check_png(file)
            else:
                check_strips(image, file)
                used_bits = tiff_bits(image)
        except ValueError as error:
            raise DecoderError(str(error)) from error
    file.seek(position)
    wide = other_byte_order(opened)
    load(image)
    # After loading: EXIF may follow the pixels of a PNG, and Pillow rotates a TIFF itself.
    orientation = orientation_of(image)
    if wide and is_dark(image):
        image = lower_bytes(image, file, name, wide, used_bits)
    return upright(eight_bit_rgb(image, name, used_bits), orientation)


def _from_image(image: Image.Image, name: str, max_pixels: int) -> np.ndarray:
    """Decode a Pillow image that the caller has made or opened."""
    _check_size(name, *image.size, max_pixels)
    try:
        content = _unread_content(image, name)
        if content is not None:
            return _from_file(io.BytesIO(content), name, max_pixels)
        load(image)
        # Whatever Pillow makes from an opened image keeps its EXIF tag, also if it was turned.
        orientation = orientation_of(image) if isinstance(image, ImageFile.ImageFile) else 1
        return upright(eight_bit_rgb(image, name), orientation)
    except ImageError:
        raise
    except Exception as error:  # Pillow's readers again
        raise _refusal(name, error) from error


def _unread_content(image: Image.Image, name: str) -> bytes | None:
    """The content of the file of a Pillow image that is opened but not loaded, else None."""
    if not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return None
    file = image.fp
    if file is None or getattr(file, "closed", False):
        raise ImageError(f"{name}: its file was closed before it was read")
    if image.format not in (*_FORMATS, "MPO") or image.tell() != 0:
        return None
    position = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(position)
    return content


def _formats(head: bytes, name: str) -> tuple[str, ...]:
    """The Pillow readers that may open a file that starts with `head`; registers the HEIC one."""
    brands = signatures.brands(head)
    if any(brand in signatures.AVIF_BRANDS for brand in brands):
        if not features.check("avif"):
            raise ImageError(f"{name}: reading AVIF needs an extra: {install_command('heic')}")
        return ("AVIF",)
    if any(brand in signatures.HEIF_BRANDS for brand in brands):
        try:
            from pillow_heif import register_heif_opener
        except ImportError:
            raise ImageError(
                f"{name}: reading HEIC needs an extra: {install_command('heic')}"
            ) from None
        register_heif_opener()
        return ("HEIF",)
    return _FORMATS


def _check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    if width * height == 0:
        raise ImageError(f"{name}: has no pixels")
    if width * height > max_pixels:
        raise ImageError(
            f"{name}: {width}×{height} is more than the limit of {max_pixels:,} pixels; "
            "scale it down"
        )


def _unknown(file: BinaryIO, head: bytes, name: str) -> ImageError:
    """Why Pillow does not know a file that starts with `head`."""
    if signatures.is_video(head):
        return ImageError(f"{name}: is a video, not a picture; name it alone to `wrinkle predict`")
    if signatures.is_picture(head):
        if signatures.is_cut_short(file):
            return ImageError(f"{name}: is cut short; get the complete file")
        return ImageError(f"{name}: is cut short or damaged in its header")
    return ImageError(
        f"{name}: is not a picture "
        "(JPEG, PNG, WebP, GIF, TIFF, BMP, PPM, JPEG 2000, HEIC and AVIF can be read)"
    )


def _refusal(name: str, error: Exception, file: BinaryIO | None = None) -> ImageError:
    """One line for whatever a reader raised."""
    reason = " ".join(str(error).split())
    try:
        short = file is not None and signatures.is_cut_short(file)
    except Exception:  # damaged headers
        short = False
    said = isinstance(error, EOFError) or any(
        words in reason.lower() for words in ("truncated", "not enough")
    )
    if short or (said and not isinstance(error, DecoderError)):
        return ImageError(f"{name}: is cut short; get the complete file")
    if isinstance(error, DecoderError):
        return ImageError(f"{name}: is damaged: {reason}")
    return ImageError(
        f"{name}: is damaged or of an unknown kind ({reason or type(error).__name__})"
    )
