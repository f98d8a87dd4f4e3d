"""Decode photographs of any common format to upright 8-bit RGB.

A picture that cannot be used raises `ImageError` with one line that names it. A truncated file is
refused, because the grey that decoders fill in for the missing part would be read as skin.
"""

import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError, features

from wrinkle.errors import ImageError, install_command

# Formats of photographs only: Pillow would also hand PostScript files to an interpreter.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_EXIF_ORIENTATION = 0x0112
_PILLOW = threading.RLock()


def decode(
    source: str | os.PathLike[str] | bytes | Image.Image | np.ndarray, max_pixels: int = 200_000_000
) -> np.ndarray:
    """Decode one picture, the first frame where a file holds several.

    Args:
        source: a file's path, a file's bytes, a Pillow image, or a uint8 array (H, W), (H, W, 1),
            (H, W, 3) RGB or (H, W, 4) RGBA. 16-bit samples are scaled to 8 bits, transparent pixels
            are blended with white, EXIF orientation is applied.
        max_pixels: largest width × height, checked before anything is decoded.

    Returns:
        (H, W, 3) uint8 RGB, contiguous. A contiguous RGB array is returned without a copy.

    Raises:
        ImageError: the picture cannot be used; the line names it and says why.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, Image.Image):
        name = printable(str(getattr(source, "filename", "") or "the Pillow image"))
        return _from_pillow(source, name, max_pixels)
    if isinstance(source, bytes):
        return _from_file(io.BytesIO(source), "the picture given as bytes", max_pixels)
    if not isinstance(source, str | os.PathLike):
        raise ImageError(
            f"cannot decode {type(source).__name__}: "
            "give a path, a file's bytes, a Pillow image or an array"
        )
    path = Path(os.fsdecode(source))
    name = printable(str(path))
    if os.path.isdir(path):
        raise ImageError(f"{name}: is a folder, not a picture")
    try:
        with path.open("rb") as file:
            return _from_file(file, name, max_pixels)
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{name}: cannot be read ({reason})") from error


def count_pixels(source: str | os.PathLike[str] | bytes | Image.Image | np.ndarray) -> int:
    """Width × height by the picture's header, not decoded; 0 where `decode` would refuse it."""
    if isinstance(source, np.ndarray):
        return int(np.prod(source.shape[:2]))
    if isinstance(source, Image.Image):
        return source.width * source.height
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
            width, height = picture_size(file)
            return width * height
    except Exception:  # `decode` says what is wrong
        return 0


def picture_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height of a picture by its header, in pixels as stored; nothing is decoded.

    Raises:
        ImageError: not a picture, or one whose format needs an extra that is missing.
    """
    head = file.read(32)
    file.seek(0)
    try:
        with _pillow_without_limits(), Image.open(file, formats=_formats(head, "")) as image:
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
    try:
        with _pillow_without_limits():
            image = Image.open(file, formats=_formats(head, name))
    except ImageError:
        raise
    except UnidentifiedImageError:
        if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n")):
            raise ImageError(f"{name}: is cut short or damaged in its header") from None
        raise ImageError(
            f"{name}: is not a picture "
            "(JPEG, PNG, WebP, GIF, TIFF, BMP, PPM, JPEG 2000, HEIC and AVIF can be read)"
        ) from None
    except Exception as error:  # Pillow's readers raise nearly anything on malicious bytes
        raise _refusal(name, error) from error
    with image:
        if image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB"):
            _check_size(name, *image.size, max_pixels)
            orientation = _orientation(image)
            file.seek(0)
            return _upright(_jpeg(file.read(), name, image.size), orientation)
        return _from_pillow(image, name, max_pixels)


def _formats(head: bytes, name: str) -> tuple[str, ...]:
    """The Pillow readers that may open a file that starts with `head`; registers the HEIC one."""
    brands = [head[i : i + 4] for i in (8, *range(16, len(head) - 3, 4))]
    if head[4:8] != b"ftyp":
        return _FORMATS
    if any(brand in _AVIF_BRANDS for brand in brands):
        if not features.check("avif"):
            raise ImageError(f"{name}: reading AVIF needs an extra: {install_command('heic')}")
        return ("AVIF",)
    if any(brand in _HEIF_BRANDS for brand in brands):
        try:
            from pillow_heif import register_heif_opener
        except ImportError:
            raise ImageError(
                f"{name}: reading HEIC needs an extra: {install_command('heic')}"
            ) from None
        register_heif_opener()
        return ("HEIF",)
    return _FORMATS


def _jpeg(data: bytes, name: str, size: tuple[int, int]) -> np.ndarray:
    """Decode a grey or colour JPEG by OpenCV: the same pixels as Pillow's, in less time."""
    if not _is_complete_jpeg(data):
        raise ImageError(f"{name}: is cut short; get the complete file")
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f"{name}: is damaged") from error
    if pixels is None or pixels.shape != (size[1], size[0], 3):
        raise ImageError(f"{name}: is damaged")
    return pixels


def _is_complete_jpeg(data: bytes) -> bool:
    """Whether an end-of-image marker follows the first scan.

    The segments before that scan are skipped: they may contain a thumbnail with an end marker of
    its own. Some versions of OpenCV fill the missing part with grey without an error.
    """
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF or data[at + 1] == 0xFF:
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xDA:
            return data.find(b"\xff\xd9", at + 2 + length) >= 0
        at += 2 + length
    return False


def _from_pillow(image: Image.Image, name: str, max_pixels: int) -> np.ndarray:
    _check_size(name, *image.size, max_pixels)
    # Pillow also checks its limit, and the TIFF reader warns, while loading: only then lock.
    large = image.width * image.height > (Image.MAX_IMAGE_PIXELS or max_pixels)
    try:
        with _pillow_without_limits() if large or image.format == "TIFF" else nullcontext():
            image.load()
        # After loading: EXIF may follow the pixels of a PNG, and Pillow rotates a TIFF itself.
        orientation = _orientation(image)
        return _upright(_eight_bit_rgb(image, name), orientation)
    except ImageError:
        raise
    except Exception as error:  # Pillow's readers again
        raise _refusal(name, error) from error


def _eight_bit_rgb(image: Image.Image, name: str) -> np.ndarray:
    if image.mode.startswith("I"):
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 65535:
            raise ImageError(f"{name}: has 32-bit samples; save it with 8 or 16 bits")
        return cv2.cvtColor((wide >> 8).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    if image.mode == "F":
        raise ImageError(f"{name}: has floating-point samples; save it with 8 or 16 bits")
    if image.has_transparency_data:
        return _on_white(np.asarray(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def _from_array(array: np.ndarray, max_pixels: int) -> np.ndarray:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise ImageError(
            f"the array is {array.dtype} of shape {array.shape}: "
            "give uint8 of shape (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA"
        )
    _check_size("the array", array.shape[1], array.shape[0], max_pixels)
    if channels == 4:
        return _on_white(array)
    if channels == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(array)


def _on_white(rgba: np.ndarray) -> np.ndarray:
    colour, alpha = rgba[..., :3].astype(np.uint16), rgba[..., 3:].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1–8; 1 where the EXIF block is absent or damaged."""
    try:
        with _pillow_without_limits():
            orientation: int = image.getexif().get(_EXIF_ORIENTATION, 1)
            return orientation
    except Exception:  # damaged metadata is no reason to refuse the picture
        return 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
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


def _check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    if width * height == 0:
        raise ImageError(f"{name}: has no pixels")
    if width * height > max_pixels:
        raise ImageError(
            f"{name}: {width}×{height} is more than the limit of {max_pixels:,} pixels; "
            "scale it down"
        )


def _refusal(name: str, error: Exception) -> ImageError:
    """One line for whatever a reader raised."""
    reason = " ".join(str(error).split())
    if isinstance(error, EOFError) or any(w in reason.lower() for w in ("truncated", "not enough")):
        return ImageError(f"{name}: is cut short; get the complete file")
    return ImageError(
        f"{name}: is damaged or of an unknown kind ({reason or type(error).__name__})"
    )


def printable(name: str) -> str:
    """A file's name as one line of text: quoted if it has unprintable characters."""
    return name if name.isprintable() else ascii(name)


@contextmanager
def _pillow_without_limits() -> Iterator[None]:
    """Pillow without its own pixel limit (`max_pixels` applies) and without warnings on metadata.

    Both are settings of the process: they are changed under a lock and restored.
    """
    with _PILLOW, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
