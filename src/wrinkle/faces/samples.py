"""Scale samples of any type and range to 8 bits.

Cameras and scanners write 10, 12 or 14 bits into wider samples, some into the upper bits and some
into the lower ones. The range is what the file declares, or else the smallest usual one that
holds the largest sample.
"""

import numpy as np

from wrinkle.errors import ImageError

_USUAL_BITS = (8, 10, 12, 14, 16)


def to_eight_bits(samples: np.ndarray, name: str, declared: int | None = None) -> np.ndarray:
    """Scale samples to 0–255.

    Args:
        samples: integers or floating-point numbers, any shape. Integers are 8, 10, 12, 14 or 16
            bits wide, by the largest. Floating-point samples reach to 1 or 255, a tenth more on
            both sides is clipped, or are as integers if the largest is more.
        name: what an error calls the picture.
        declared: the bits that the file says are used; ignored if a sample needs more.

    Returns:
        uint8, the same shape; uint8 samples as they are.

    Raises:
        ImageError: samples are negative, not finite, or larger than 65,535.
    """
    if samples.dtype == np.uint8:
        return samples
    if samples.dtype.kind not in "iuf":
        raise ImageError(
            f"{name}: has samples of type {samples.dtype}: give integers or floating-point numbers"
        )
    if samples.size == 0:
        return samples.astype(np.uint8)
    low, high = samples.min(), samples.max()
    if samples.dtype.kind == "f":
        return _from_floats(samples, float(low), float(high), name)
    if low < 0:
        raise ImageError(f"{name}: has negative samples (down to {low}); scale them to 0–255")
    if high > 65535:
        raise ImageError(
            f"{name}: has samples up to {high}, 32-bit ones; save it with 8 or 16 bits"
        )
    needed = int(high).bit_length()
    if declared is not None and 8 <= declared <= 16 and needed <= declared:
        bits = declared
    else:
        bits = next(bits for bits in _USUAL_BITS if needed <= bits)
    return (samples.astype(np.uint16) >> (bits - 8)).astype(np.uint8)


def _from_floats(samples: np.ndarray, low: float, high: float, name: str) -> np.ndarray:
    # Interpolation overshoots; more below 0, and a largest sample of 1.1 to 16, is another scale.
    if low >= -0.1 * max(high, 0.01) and (high <= 1.1 or 16 <= high <= 65535):
        if high > 1.1 * 255:
            return to_eight_bits(samples.clip(0, None).astype(np.uint16), name)
        scaled = np.rint(samples.astype(np.float32) * (255 if high <= 1.1 else 1))
        return np.asarray(scaled.clip(0, 255), np.uint8)
    reason = f"from {low:.3g} to {high:.3g}" if np.isfinite([low, high]).all() else "not finite"
    raise ImageError(f"{name}: has floating-point samples {reason}; scale them to 0–1 or 0–255")


def array_to_rgb(array: np.ndarray, name: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB from an array of any numbers; one of that kind is returned as it is.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, which is blended with white.
        name: what an error calls the picture.

    Raises:
        ImageError: another shape, or samples that `to_eight_bits` refuses.
    """
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.dtype.kind not in "iuf":
        hint = ""
        if (
            array.ndim in (3, 4)
            and array.shape[-3] in (1, 3, 4)
            and array.shape[-1] not in (1, 3, 4)
        ):
            hint = "; move the channels to the end, as by numpy.moveaxis(array, -3, -1)"
        raise ImageError(
            f"{name} is {array.dtype} of shape {array.shape}: give integers or floating-point "
            f"numbers of shape (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA{hint}"
        )
    if channels == 4:
        colour = to_eight_bits(array[..., :3], name)
        return on_white(np.dstack([colour, to_eight_bits(array[..., 3:], name)]))
    pixels = to_eight_bits(array, name)
    if channels == 1:
        return np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(pixels)


def on_white(rgba: np.ndarray) -> np.ndarray:
    """Blend (H, W, 4) uint8 RGBA with white to (H, W, 3) RGB."""
    colour, alpha = rgba[..., :3].astype(np.uint16), rgba[..., 3:].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
