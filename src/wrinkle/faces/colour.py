"""Convert pixels from an embedded ICC profile's colour space to sRGB.

The models are trained on sRGB pixels. The pixels of a photograph in Display P3, Adobe RGB or
ProPhoto RGB look paler if they are read as sRGB.
"""

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_LARGEST_PROFILE = 8_000_000
# Profiles of sRGB by different makers differ by this much, of 255.
_ALIKE = 3


def to_srgb(image: Image.Image, profile: object) -> Image.Image:
    """The image in sRGB.

    Args:
        image: mode L, RGB or CMYK.
        profile: the content of the ICC profile, `image.info.get("icc_profile")`. A damaged profile,
            and one of another colour space than the image's, is ignored.

    Returns:
        Mode RGB; the image itself where it has no profile or one that is close to sRGB.
    """
    if not isinstance(profile, bytes) or not 128 < len(profile) <= _LARGEST_PROFILE:
        return image
    transform = _transform(profile, image.mode)
    return image if transform is None else transform.apply(image)


def array_to_srgb(pixels: np.ndarray, mode: str, profile: object) -> np.ndarray:
    """`to_srgb` for (H, W, 3) uint8 pixels; mode: L if the three channels are equal, else RGB."""
    if not profile:
        return pixels
    image = Image.fromarray(pixels[..., 0] if mode == "L" else pixels)
    converted = to_srgb(image, profile)
    return pixels if converted is image else np.array(converted)


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> "ImageCmsTransform | None":
    """The transform from a profile to sRGB; None if there is nothing to convert."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if _SPACES.get(source.profile.xcolor_space) != mode:
            return None
        # Without its cache, a transform can be used by several threads.
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.PERCEPTUAL,
            ImageCms.Flags.NOCACHE,
        )
        if mode == "CMYK":
            return transform
        colours = _colours(mode)
        converted = np.asarray(transform.apply(colours), np.int16)
        change = np.abs(converted - np.asarray(colours.convert("RGB"), np.int16)).max()
        return None if change <= _ALIKE else transform
    except Exception:  # a damaged profile: Pillow and Little CMS raise nearly anything
        return None


def _colours(mode: str) -> Image.Image:
    """Every grey, or 6 × 6 × 6 colours, as an image of one row."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    return Image.fromarray(grid.reshape(1, -1, 3))
