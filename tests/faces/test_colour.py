import io
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms

from wrinkle.faces.colour import to_srgb
from wrinkle.faces.decode import decode

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# Columns: the primaries in XYZ under D50.
SPACES = {
    "Display P3": ([[0.5151, 0.292, 0.1571], [0.2412, 0.6922, 0.0666], [0, 0.0419, 0.7841]], 2.2),
    "Adobe RGB": (
        [[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]],
        2.2,
    ),
    "ProPhoto": ([[0.7977, 0.1352, 0.0313], [0.288, 0.7119, 0.0001], [0, 0, 0.8249]], 1.8),
}
COLOURS = Image.fromarray(np.random.default_rng(0).integers(40, 216, (24, 32, 3), dtype=np.uint8))


def _profile(primaries: list[list[float]], gamma: float) -> bytes:
    """A profile of matrix and curves, as ICC.1:2001-04 defines it."""

    def numbers(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    white = numbers(0.9642, 1, 0.8249)
    tags = {b"wtpt": b"XYZ \0\0\0\0" + white}
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), np.array(primaries).T, strict=True):
        tags[name] = b"XYZ \0\0\0\0" + numbers(*column)
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        tags[name] = b"curv\0\0\0\0" + struct.pack(">IHxx", 1, int(gamma * 256))
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value
    head = struct.pack(">I4sI", start + len(body), b"lcms", 0x02400000) + b"mntrRGB XYZ "
    head += bytes(12) + b"acsp" + bytes(28) + white
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _file(image: Image.Image, kind: str, profile: bytes, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, icc_profile=profile, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("space", SPACES)
def test_wide_spaces_become_srgb(space):
    profile = _profile(*SPACES[space])
    wide = ImageCms.profileToProfile(
        COLOURS,
        ImageCms.createProfile("sRGB"),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        outputMode="RGB",
    )
    assert abs(np.asarray(wide, int) - np.asarray(COLOURS)).max() > 10
    with_alpha = wide.convert("RGBA")
    sources = [_file(wide, kind, profile) for kind in ("PNG", "TIFF")]
    sources += [_file(with_alpha, "PNG", profile), _file(wide, "WEBP", profile, lossless=True)]
    for source in (*sources, Image.open(io.BytesIO(sources[0])).convert("RGB")):
        assert abs(decode(source).astype(int) - np.asarray(COLOURS)).max() <= 8
    jpeg = _file(wide, "JPEG", profile, quality=100, subsampling=0)
    assert abs(decode(jpeg).astype(int) - np.asarray(COLOURS)).mean() < 2


def test_srgb_damaged_and_unsuitable_profiles_change_nothing():
    expected = np.asarray(COLOURS)
    adobe = _profile(*SPACES["Adobe RGB"])
    for profile in (SRGB, b"not a profile" * 20, adobe[:200], b"x"):
        np.testing.assert_array_equal(decode(_file(COLOURS, "PNG", profile)), expected)
        assert to_srgb(COLOURS, profile) is COLOURS
    grey = COLOURS.convert("L")
    np.testing.assert_array_equal(decode(_file(grey, "PNG", adobe))[..., 0], np.asarray(grey))
    for profile in (None, "text", 3):
        assert to_srgb(COLOURS, profile) is COLOURS


def test_one_transform_in_many_threads():
    data = _file(COLOURS.resize((300, 300)), "PNG", _profile(*SPACES["ProPhoto"]))
    expected = decode(data)
    with ThreadPoolExecutor(8) as pool:
        for pixels in pool.map(decode, [data] * 32):
            np.testing.assert_array_equal(pixels, expected)
