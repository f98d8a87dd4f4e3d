import contextlib
import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wrinkle.errors import ImageError
from wrinkle.faces.decode import decode
from wrinkle.faces.samples import to_eight_bits

RAMP = np.arange(256, dtype=np.uint8).repeat(2).reshape(16, 32)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64, np.float32])
def test_bits_by_the_largest_sample(bits, dtype):
    samples = RAMP.astype(dtype) * 2 ** (bits - 8)
    np.testing.assert_array_equal(to_eight_bits(samples, "x"), RAMP)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_files_with_bits_in_wider_samples(bits, kind):
    image = Image.fromarray(RAMP.astype(np.uint16) << (bits - 8))
    expected = np.repeat(RAMP[..., None], 3, 2)
    np.testing.assert_array_equal(decode(_saved(image, kind)), expected)
    np.testing.assert_array_equal(decode(image), expected)
    np.testing.assert_array_equal(decode(np.asarray(image)), expected)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colour_files_with_bits_in_wider_samples(bits, suffix, channels):
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (16, 16, channels), dtype=np.uint8)
    colour[0, 0] = 255
    colour[..., 3:] = 255
    wide = colour.astype(np.uint16) << (bits - 8)
    wide[..., 3:] = 65535
    options = [cv2.IMWRITE_TIFF_COMPRESSION, 1] if suffix == ".tiff" else []
    for chosen in ([], options):
        _, data = cv2.imencode(suffix, wide, chosen)  # OpenCV writes BGR
        np.testing.assert_array_equal(decode(data.tobytes()), colour[..., 2::-1])


def test_declared_bits_decide():
    dark = RAMP.astype(np.uint16)  # up to 255, of 4,095
    tag = {281: 4095}
    data = _saved(Image.fromarray(dark), "TIFF", tiffinfo=tag)
    assert decode(data).max() == 15
    assert to_eight_bits(dark, "x", 12).max() == 15
    assert to_eight_bits(dark * 257, "x", 12).max() == 255  # a wrong declaration


def test_floats():
    for samples in (RAMP / 255, RAMP / 1.0, RAMP.astype(np.float16)):
        np.testing.assert_array_equal(to_eight_bits(samples, "x"), RAMP)
    overshoot = np.array([-0.05, 0, 1, 1.05])
    np.testing.assert_array_equal(to_eight_bits(overshoot, "x"), [0, 0, 255, 255])
    image = Image.fromarray(RAMP.astype(np.float32))
    np.testing.assert_array_equal(decode(image)[..., 0], RAMP)
    np.testing.assert_array_equal(decode(_saved(image, "TIFF"))[..., 0], RAMP)


@pytest.mark.parametrize(
    "samples",
    [
        np.array([-2.1, 2.6]),
        np.array([0.0, 2.6]),
        np.array([0.0, np.nan]),
        np.array([0.0, np.inf]),
        np.array([0.0, 1e6]),
        np.array([-1, 5]),
        np.array([0, 70_000]),
        np.array([True]),
        np.array(["a"]),
    ],
)
def test_other_samples_are_refused(samples):
    with pytest.raises(ImageError, match=r"^the picture: "):
        to_eight_bits(samples, "the picture")


@given(st.lists(st.floats(width=32), min_size=1), st.sampled_from([np.float32, np.float64]))
def test_any_floats(values, dtype):
    with contextlib.suppress(ImageError):
        assert to_eight_bits(np.array(values, dtype), "x").dtype == np.uint8
