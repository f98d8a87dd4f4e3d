"""Damaged files of every format: an array or one line, and never an array after a warning."""

import io
import os
import warnings

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, features

from wrinkle.errors import ImageError
from wrinkle.faces.decode import decode

_NOISE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
_SMOOTH = Image.fromarray(cv2.resize(_NOISE, (64, 48), interpolation=cv2.INTER_CUBIC))


def _saved(kind: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    _SMOOTH.convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def _files() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description that is longer than four bytes"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    described = {"exif": exif, "icc_profile": profile}
    files = {
        "jpeg": _saved("JPEG"),
        "jpeg progressive": _saved("JPEG", progressive=True),
        "jpeg restart": _saved("JPEG", restart_marker_rows=1, **described),
        "jpeg grey": _saved("JPEG", "L"),
        "jpeg cmyk": _saved("JPEG", "CMYK"),
        "mpo": _saved("MPO", save_all=True, append_images=[_SMOOTH]),
        "png": _saved("PNG", **described),
        "png palette": _saved("PNG", "P"),
        "png grey of 16 bits": _saved("PNG", "I;16"),
        "webp": _saved("WEBP", **described),
        "webp lossless": _saved("WEBP", lossless=True),
        "gif": _saved("GIF", "P"),
        "bmp": _saved("BMP"),
        "ppm": _saved("PPM"),
        "jpeg 2000": _saved("JPEG2000"),
        **{
            f"tiff {name}": _saved("TIFF", compression=name)
            for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
        },
    }
    if features.check("avif"):
        files["avif"] = _saved("AVIF", speed=10)
    return files


FILES = _files()
_PLACE = st.floats(0, 1)
_CHANGE = st.one_of(
    st.tuples(st.just("flip"), _PLACE, st.integers(0, 7)),
    st.tuples(st.just("set"), _PLACE, st.integers(0, 255)),
    st.tuples(st.just("cut"), _PLACE, st.just(0)),
    st.tuples(st.just("hole"), _PLACE, st.integers(1, 600)),
    st.tuples(st.just("lost"), _PLACE, st.integers(1, 300)),
    st.tuples(st.just("swap"), _PLACE, st.integers(8, 300)),
)


def _damaged(data: bytes, changes: list[tuple[str, float, int]]) -> bytes:
    for kind, place, size in changes:
        at = int(place * (len(data) - 1)) if data else 0
        start, middle, end = data[:at], data[at : at + size], data[at + size :]
        match kind:
            case "flip" if data:
                data = start + bytes([data[at] ^ 1 << size]) + data[at + 1 :]
            case "set" if data:
                data = start + bytes([size]) + data[at + 1 :]
            case "cut":
                data = start
            case "hole":
                data = start + bytes(len(middle)) + end
            case "lost":
                data = start + end
            case "swap":
                data = start + end[:size] + middle + end[size:]
    return data


def _complaint(data: bytes) -> str | None:
    """What Pillow or libjpeg says about a file, if anything."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            with Image.open(io.BytesIO(data)) as image:
                image.load()
                kind = image.format
                mode = image.mode
        except Exception as error:
            return repr(error)
    complaints = [str(each.message) for each in warned if each.category is UserWarning]
    if not complaints and kind in ("JPEG", "MPO"):
        try:
            simplejpeg.decode_jpeg(data, "CMYK" if mode == "CMYK" else "RGB")
        except ValueError as error:
            if "subsampling" not in str(error):  # which is not a warning
                complaints.append(str(error))
    return complaints[0] if complaints else None


def _check(examples: int) -> None:
    changes = st.lists(_CHANGE, min_size=1, max_size=4)
    test = given(st.sampled_from(sorted(FILES)), changes)(_an_array_or_a_line)
    settings(max_examples=examples, deadline=None, database=None)(test)()


def _an_array_or_a_line(kind: str, changes: list[tuple[str, float, int]]) -> None:
    data = _damaged(FILES[kind], changes)
    try:
        pixels = decode(data, max_pixels=1_000_000)
    except ImageError as error:
        line = str(error)
        assert line.startswith("the picture given as bytes: ")
        assert line.isprintable()
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    written = os.dup(2)
    quiet = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(quiet, 2)  # Pillow's libtiff
        complaint = _complaint(data)
    finally:
        os.dup2(written, 2)
        os.close(written)
        os.close(quiet)
    assert complaint is None


@pytest.mark.parametrize("kind", sorted(FILES))
def test_intact_files_are_read(kind):
    size = (64, 48) if kind in ("jpeg restart", "png", "webp") else (48, 64)
    assert decode(FILES[kind]).shape == (*size, 3)


def test_damaged_files(capfd):
    _check(2000)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_many_damaged_files(capfd):
    _check(10_000)
    assert capfd.readouterr() == ("", "")
