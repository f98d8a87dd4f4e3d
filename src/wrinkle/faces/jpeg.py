"""Decode JPEG files by libjpeg-turbo, and refuse what it warns about.

Pillow and OpenCV go on after libjpeg's warnings, such as "Corrupt JPEG data", and return pixels
that the file does not contain.
"""

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from wrinkle.errors import ImageError
from wrinkle.faces.native_messages import LIBJPEG, native_messages


def decode_jpeg(data: bytes, image: Image.Image, name: str) -> np.ndarray | None:
    """Decode a JPEG file.

    Args:
        data: the file's content.
        image: the same file, opened by Pillow, not loaded.
        name: what an error calls the picture.

    Returns:
        (H, W, 3) uint8 RGB, the same pixels as Pillow's. None for CMYK, which Pillow converts.

    Raises:
        ImageError: the file is cut short or damaged.
    """
    is_rgb = image.mode in ("L", "RGB")
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(data, "RGB" if is_rgb else "CMYK")
    except ValueError as error:
        reason = " ".join(str(error).split())
        if "subsampling" in reason and is_rgb:
            return _unusual_subsampling(data, name)
        if not is_complete_jpeg(data):
            raise ImageError(f"{name}: is cut short; get the complete file") from error
        raise ImageError(f"{name}: is damaged: {reason}") from error
    if pixels.shape[:2] != (image.height, image.width):
        raise ImageError(f"{name}: is damaged: its headers give two sizes")
    return pixels if is_rgb else None


def _unusual_subsampling(data: bytes, name: str) -> np.ndarray:
    """Decode by OpenCV, whose libjpeg writes its warnings to standard error."""
    with native_messages(LIBJPEG) as messages:
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:
            pixels = None
    if pixels is None or messages or not is_complete_jpeg(data):
        raise ImageError(f"{name}: is damaged: {(*messages, 'it cannot be decoded')[0]}")
    return pixels


def is_complete_jpeg(data: bytes) -> bool:
    """Whether an end-of-image marker follows the first scan.

    The segments before that scan are skipped: they may contain a thumbnail with an end marker of
    its own.
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
