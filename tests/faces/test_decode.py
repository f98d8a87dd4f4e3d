import contextlib
import io
import os
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps

from wrinkle.errors import ImageError
from wrinkle.faces import decode as module
from wrinkle.faces.decode import count_pixels, decode
from wrinkle.faces.native_messages import LIBTIFF, native_messages

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8)
SMOOTH = cv2.resize(NOISE[:5, :7], (160, 120), interpolation=cv2.INTER_CUBIC)


def _saved(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = _saved(SMOOTH, "JPEG", quality=90)


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _error(source, **options) -> str:
    with pytest.raises(ImageError) as caught:
        decode(source, **options)
    line = str(caught.value)
    assert "\n" not in line
    return line


# What can be read


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM"])
def test_lossless_formats_keep_every_pixel(kind):
    pixels = decode(_saved(NOISE, kind))
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels, NOISE)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("WEBP", {"lossless": True}),
        ("JPEG2000", {"irreversible": False}),
        ("PNG", {"interlace": 1}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_variants_of_lossless_formats_keep_every_pixel(kind, options):
    np.testing.assert_array_equal(decode(_saved(NOISE, kind, **options)), NOISE)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("side", [1, 7, 16, 97])
def test_jpeg_pixels_equal_pillows(subsampling, progressive, side):
    picture = cv2.resize(SMOOTH, (side, side + 3))
    data = _saved(picture, "JPEG", subsampling=subsampling, progressive=progressive)
    np.testing.assert_array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data))))


def test_grey_jpeg_becomes_rgb():
    data = _saved(SMOOTH[..., 0], "JPEG")
    grey = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode(data), np.repeat(grey[..., None], 3, 2))


def test_bytes_after_the_end_of_a_jpeg_are_ignored():
    np.testing.assert_array_equal(decode(JPEG + b"\xff\xda\x00motion" * 9), decode(JPEG))


def test_the_thumbnail_in_exif_is_ignored():
    thumbnail = _saved(SMOOTH[:40, :40], "JPEG")
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + thumbnail
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    data = JPEG[:2] + segment + JPEG[2:]
    np.testing.assert_array_equal(decode(data), decode(JPEG))
    assert "cut short" in _error(data[: len(data) - len(JPEG) // 2])


def test_the_first_of_several_frames_is_decoded():
    frames = [Image.new("RGB", (9, 6), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "TIFF", "WEBP", "PNG"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = _saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert decode(data).shape == (6, 9, 3), kind
        assert (decode(data) == (255, 0, 0)).all(), kind


def test_the_first_picture_of_a_multi_picture_jpeg_is_decoded():
    frames = [Image.fromarray(SMOOTH), Image.fromarray(255 - SMOOTH)]
    data = _saved(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert abs(decode(data).astype(int) - SMOOTH).mean() < 4


def test_palette_and_one_bit_become_rgb():
    palette = Image.new("P", (4, 2))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putdata([0, 1, 1, 0, 1, 0, 0, 1])
    expected = np.array([[0, 1, 1, 0], [1, 0, 0, 1]])[..., None]
    expected = np.where(expected, (200, 100, 50), (10, 20, 30))
    for kind in ("PNG", "GIF", "TIFF", "BMP"):
        np.testing.assert_array_equal(decode(_saved(palette, kind)), expected)
    bits = RNG.random((11, 13)) > 0.5
    for kind in ("PNG", "TIFF", "BMP"):
        np.testing.assert_array_equal(
            decode(_saved(Image.fromarray(bits), kind)), np.repeat(bits[..., None] * 255, 3, 2)
        )


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_scaled_not_clipped(suffix, channels):
    eight = RNG.integers(0, 256, (19, 23, channels), dtype=np.uint8)
    if channels == 4:
        eight[..., 3] = 255
    _, data = cv2.imencode(suffix, eight.astype(np.uint16) * 257)  # OpenCV writes BGR
    expected = np.repeat(eight, 3, 2) if channels == 1 else eight[..., 2::-1]
    np.testing.assert_array_equal(decode(data.tobytes()), expected)


def test_sixteen_bit_ramp_keeps_its_order():
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for data in (_saved(ramp, "PNG"), _saved(ramp, "TIFF"), _saved(ramp, "PPM")):
        np.testing.assert_array_equal(decode(data)[..., 1], np.arange(256)[:, None].repeat(256, 1))


def test_alpha_is_blended_with_white():
    colour = np.array([[[200, 100, 0, 0], [200, 100, 0, 51], [200, 100, 0, 255]]], np.uint8)
    expected = [[[255, 255, 255], [244, 224, 204], [200, 100, 0]]]
    np.testing.assert_array_equal(decode(_saved(colour, "PNG")), expected)
    np.testing.assert_array_equal(decode(colour), expected)
    grey = Image.fromarray(np.array([[[90, 0], [90, 255]]], np.uint8), "LA")
    np.testing.assert_array_equal(decode(_saved(grey, "PNG"))[..., 0], [[255, 90]])
    hole = Image.new("P", (2, 1))
    hole.putpalette([1, 2, 3, 4, 5, 6])
    hole.putdata([0, 1])
    for kind in ("GIF", "PNG"):
        data = _saved(hole, kind, transparency=0)
        np.testing.assert_array_equal(decode(data), [[[255, 255, 255], [4, 5, 6]]])


def test_cmyk_and_adobes_inverted_cmyk_become_rgb():
    cmyk = Image.new("CMYK", (32, 32), (0, 255, 255, 0))  # red
    for data in (_saved(cmyk, "TIFF"), _saved(cmyk, "JPEG", quality=95)):
        assert abs(decode(data).astype(int) - (255, 0, 0)).max() <= 3
    # A CMYK JPEG holds inverted values by Adobe's convention, also where its marker was stripped.
    at = data.index(b"\xff\xee")
    stripped = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    assert abs(decode(stripped).astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_exif_orientation_is_applied(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = SMOOTH[:64, :96]
    # From the standard's table: which edges of the scene the stored row 0 and column 0 show.
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: stored[::-1].transpose(1, 0, 2),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: stored.transpose(1, 0, 2)[::-1],
    }[orientation]
    pixels = decode(_saved(stored, kind, exif=exif, quality=95))
    assert pixels.shape == upright.shape
    assert abs(pixels.astype(int) - upright).mean() < 5


def test_orientation_is_applied_to_16_bits_and_pillow_images():
    exif = Image.Exif()
    exif[0x0112] = 6
    ramp = (np.arange(12, dtype=np.uint16) * 23 * 257).reshape(3, 4)
    expected = 23 * np.arange(12).reshape(3, 4)[::-1].T
    for kind in ("PNG", "TIFF"):
        data = _saved(ramp, kind, exif=exif)
        np.testing.assert_array_equal(decode(data)[..., 0], expected)
        np.testing.assert_array_equal(decode(Image.open(io.BytesIO(data)))[..., 0], expected)


def test_damaged_exif_is_refused():
    # Pillow warns about it: the orientation is unknown, and the pixels may be damaged as well.
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    assert "is damaged: Corrupt EXIF data" in _error(JPEG[:2] + segment + JPEG[2:])


def test_orientation_of_pillow_images_that_the_caller_has_made():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = _saved(SMOOTH[:64, :96], "JPEG", exif=exif, quality=95)
    stored, upright = Image.open(io.BytesIO(data)), decode(data)
    assert upright.shape == (96, 64, 3)
    # As opened: turned, also once it is loaded.
    np.testing.assert_array_equal(decode(stored), upright)
    stored.load()
    np.testing.assert_array_equal(decode(stored), upright)
    # Turned by the caller, though Pillow keeps the tag.
    for turned in (
        ImageOps.exif_transpose(stored),
        stored.transpose(Image.Transpose.ROTATE_270),
        stored.rotate(-90, expand=True),
        ImageOps.exif_transpose(stored).convert("RGB").copy(),
    ):
        np.testing.assert_array_equal(decode(turned), upright)
    # Anything else that was made from it is taken as it is.
    for made in (stored.copy(), stored.convert("RGB"), stored.crop((0, 0, 96, 64))):
        assert decode(made).shape == (64, 96, 3)
    ImageOps.exif_transpose(stored, in_place=True)
    np.testing.assert_array_equal(decode(stored), upright)


def test_avif_is_decoded():
    pytest.importorskip("PIL.AvifImagePlugin")
    assert abs(decode(_saved(SMOOTH, "AVIF", quality=95)).astype(int) - SMOOTH).mean() < 3


def test_heic_is_decoded():
    heif = pytest.importorskip("pillow_heif", reason="the extra 'heic' is not installed")
    buffer = io.BytesIO()
    heif.from_pillow(Image.fromarray(SMOOTH)).save(buffer, quality=95)
    assert abs(decode(buffer.getvalue()).astype(int) - SMOOTH).mean() < 3
    assert _error(buffer.getvalue()[:-2000]).startswith("the picture given as bytes: ")


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    monkeypatch.setattr(module.features, "check", lambda name: False)
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
    avif = b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif" + bytes(40)
    assert "HEIC" in _error(heic)
    assert "AVIF" in _error(avif)
    assert "pip install '.[heic]'" in _error(heic)
    assert "pip install '.[heic]'" in _error(avif)


# Paths, bytes, Pillow images and arrays


def test_every_kind_of_source_is_decoded(tmp_path):
    file = tmp_path / "ein Bild, ö.png"
    file.write_bytes(_saved(NOISE, "PNG"))
    for source in (file, str(file), file.read_bytes(), NOISE):
        np.testing.assert_array_equal(decode(source), NOISE)
    with Image.open(file) as image:
        np.testing.assert_array_equal(decode(image), NOISE)


def test_the_format_does_not_depend_on_the_name(tmp_path):
    file = tmp_path / "png.jpg"
    file.write_bytes(_saved(NOISE, "PNG"))
    np.testing.assert_array_equal(decode(file), NOISE)


def test_arrays_are_taken_as_rgb():
    grey = NOISE[..., 0]
    threefold = np.repeat(grey[..., None], 3, 2)
    np.testing.assert_array_equal(decode(grey), threefold)
    np.testing.assert_array_equal(decode(grey[..., None]), threefold)
    assert decode(NOISE) is NOISE
    np.testing.assert_array_equal(decode(NOISE[:, ::-1]), NOISE[:, ::-1])
    assert decode(NOISE[:, ::-1]).flags.c_contiguous


@pytest.mark.parametrize(
    "array",
    [
        np.full((4, 4, 3), -2.1, np.float32),
        np.full((4, 4, 3), np.nan, np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.full((4, 4), -1),
        np.full((4, 4), 65536),
        np.zeros((4, 4), bool),
    ],
)
def test_arrays_of_other_shapes_or_types_are_refused(array):
    assert "array" in _error(array)


def test_other_types_are_refused():
    assert "dict" in _error({})
    assert "None" in _error(None)
    assert "the number 3" in _error(3)
    assert "list" in _error([NOISE])
    assert "opened as text" in _error(io.StringIO("text"))
    assert "https://example.org/a.jpg: is a URL" in _error("https://example.org/a.jpg")
    assert "is a URL" in _error("data:image/jpeg;base64," + 4000 * "A")


def test_pillow_image_whose_file_is_closed(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    image = Image.open(tmp_path / "a.jpg")
    image.close()
    assert "a.jpg: its file was closed" in _error(image)


def test_a_lazily_opened_image_in_many_threads(tmp_path):
    for kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        data = _saved(SMOOTH, kind)
        for _ in range(5):
            image = Image.open(io.BytesIO(data))
            with ThreadPoolExecutor(6) as pool:
                for pixels in pool.map(decode, [image] * 6):
                    np.testing.assert_array_equal(pixels, decode(data))


def test_pipes_and_videos_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "pipe.jpg: is not a regular file" in _error(tmp_path / "pipe.jpg")
    for start in (b"\0\0\0\x18ftypisom", b"\0\0\0\x14ftypqt  ", b"\x1a\x45\xdf\xa3"):
        assert "is a video" in _error(start + bytes(60))
    assert "is a video" in _error(b"RIFF\0\0\0\0AVI LIST" + bytes(60))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.95])
def test_cut_short_in_every_format(kind, part):
    for options in ({}, {"compression": "tiff_lzw"}) if kind == "TIFF" else ({},):
        data = _saved(SMOOTH, kind, **options)
        assert "is cut short" in _error(data[: int(part * len(data))])


def test_jpegs_about_which_libjpeg_warns(capfd):
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    for options in ({}, {"progressive": True}, {"restart_marker_rows": 2}):
        data = _saved(picture, "JPEG", quality=80, **options)
        middle = len(data) // 2
        for damaged in (
            data[:middle] + bytes(4096) + data[middle + 4096 :],
            data[:middle] + data[middle + 2048 :],
        ):
            assert "is damaged: Corrupt JPEG data" in _error(damaged)
            assert "is damaged: Corrupt JPEG data" in _error(Image.open(io.BytesIO(damaged)))
    cmyk = _saved(Image.fromarray(picture).convert("CMYK"), "JPEG")
    middle = len(cmyk) // 2
    assert "is damaged" in _error(cmyk[:middle] + bytes(4096) + cmyk[middle + 4096 :])
    tiff = _saved(picture, "TIFF", compression="jpeg")
    middle = len(tiff) // 2
    assert "is damaged" in _error(tiff[:middle] + bytes(4096) + tiff[middle + 4096 :])
    assert capfd.readouterr() == ("", "")


def test_png_with_a_wrong_checksum():
    data = bytearray(_saved(NOISE, "PNG", compress_level=0))
    data[len(data) // 2] ^= 1
    assert "is damaged: the checksum" in _error(bytes(data))


def test_libtiff_writes_nothing_to_standard_error(capfd):
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        data = _saved(SMOOTH, "TIFF", compression=compression)
        refused = 0
        for at in range(50, len(data) - 50, len(data) // 20):
            try:
                decode(data[:at] + bytes(30) + data[at + 30 :])
            except ImageError:
                refused += 1
        assert refused or compression == "packbits", compression
    assert capfd.readouterr() == ("", "")


def test_other_threads_standard_error_is_kept(capfd):
    with native_messages(LIBTIFF) as messages:
        os.write(2, b"hello\nLZWDecode: Not enough data at scanline 0.\nValueError: no.\n")
    assert messages == ["LZWDecode: Not enough data at scanline 0."]
    assert capfd.readouterr().err == "hello\nValueError: no.\n"


# What cannot be read costs one line


def test_malicious_files_are_refused(tmp_path):
    cases = {
        "empty.jpg": (b"", "is empty"),
        "text.jpg": (b"This is not a picture at all.\n" * 20, "is not a picture"),
        "cut.jpg": (JPEG[: len(JPEG) // 2], "is cut short"),
        "last_byte.jpg": (JPEG[:-1], "is cut short"),
        "header.jpg": (JPEG[:30], "is cut short"),
        "zeros.jpg": (JPEG[: len(JPEG) // 2] + bytes(len(JPEG) // 2), "is cut short"),
        "cut.png": (_saved(NOISE, "PNG")[:3000], "is cut short"),
        "cut.bmp": (_saved(NOISE, "BMP")[:3000], "is cut short"),
        "cut.tiff": (_saved(NOISE, "TIFF", compression="raw")[:3000], ""),
        "cut.gif": (_saved(NOISE, "GIF")[:1000], "is cut short"),
        "cut.webp": (_saved(NOISE, "WEBP")[:500], ""),
        "float.tiff": (_saved(np.full((3, 3), -9, np.float32), "TIFF"), "floating-point"),
        "wide.tiff": (_saved(np.full((3, 3), 70000, np.int32), "TIFF"), "32-bit"),
        "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a picture"),
    }
    for name, (data, reason) in cases.items():
        (tmp_path / name).write_bytes(data)
        line = _error(tmp_path / name)
        assert name in line
        assert reason in line, line


def test_missing_paths_are_refused(tmp_path):
    assert "no such file" in _error(tmp_path / "nothing.jpg")
    assert "is a folder" in _error(tmp_path)
    assert "cannot be read" in _error("nul\0byte.jpg")
    assert "cannot be read" in _error("long" * 2000 + ".jpg")
    assert "no such file" in _error(str(tmp_path / "two\nlines.jpg"))
    assert "no such file" in _error(str(tmp_path / "latin-\udcf6.jpg"))
    _error(str(tmp_path / "latin-\udcf6.jpg")).encode()


def _png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 16))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def _jpeg_that_claims(width: int, height: int) -> bytes:
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


@pytest.mark.parametrize("make", [_png_that_claims, _jpeg_that_claims])
def test_pixel_limit_is_checked_before_decoding(make, tmp_path, monkeypatch):
    def never(*_args, **_options):
        raise AssertionError("was decoded")

    monkeypatch.setattr(cv2, "imdecode", never)
    monkeypatch.setattr(Image.Image, "load", never)
    file = tmp_path / "bomb.jpg"
    file.write_bytes(make(30_000, 30_000))
    assert "bomb.jpg: 30000×30000 is more than the limit of 200,000,000" in _error(file)


def test_pixel_limit_holds_for_every_source():
    for source in (NOISE, Image.fromarray(NOISE), _saved(NOISE, "PNG"), _saved(NOISE, "JPEG")):
        assert "limit of 1,960 pixels" in _error(source, max_pixels=37 * 53 - 1)
        assert decode(source, max_pixels=37 * 53).shape == NOISE.shape


def test_pixels_are_counted_without_decoding(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(JPEG)
    for source in (path, str(path), JPEG, Image.fromarray(SMOOTH), SMOOTH, SMOOTH[..., 0]):
        assert count_pixels(source) == 160 * 120
    assert count_pixels(_png_that_claims(30_000, 30_000)) == 900_000_000
    (tmp_path / "text.jpg").write_text("no picture")
    for source in (tmp_path, tmp_path / "none.jpg", tmp_path / "text.jpg", "\0", b"", None, 1):
        assert count_pixels(source) == 0


def test_pillows_pixel_limit_is_restored(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP"):
        assert decode(_saved(NOISE, kind)).shape == NOISE.shape
    assert Image.MAX_IMAGE_PIXELS == 100


def test_threads_restore_pillows_settings():
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    data = [JPEG, _saved(NOISE, "TIFF"), _saved(NOISE, "PNG"), JPEG[:99]] * 10
    results: list[object] = [None] * len(data)

    def work(i: int) -> None:
        try:
            results[i] = decode(data[i]).shape
        except ImageError:
            results[i] = "refused"

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(data))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [SMOOTH.shape, NOISE.shape, NOISE.shape, "refused"] * 10
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before


# Whatever the bytes


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))),
    st.sampled_from(["PNG", "TIFF", "BMP"]),
)
def test_random_pictures_are_decoded_exactly(picture, kind):
    np.testing.assert_array_equal(decode(_saved(picture, kind)), picture)


_STARTS = [
    *(b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0\x08\0\0\0", b"MM\0*"),
    *(
        b"BM",
        b"P6 3 3 255\n",
        b"RIFF\x20\0\0\0WEBPVP8 ",
        b"\0\0\0\x18ftypheic",
        b"\0\0\0\x18ftypavif",
    ),
    b"\0\0\0\x0cjP  \r\n\x87\n",
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(_STARTS), st.binary(max_size=300))
def test_random_bytes_raise_only_image_errors(start, data):
    with contextlib.suppress(ImageError):
        decode(start + data, max_pixels=1_000_000)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(JPEG) - 1), st.booleans())
def test_a_jpeg_truncated_anywhere_is_refused(length, progressive):
    data = _saved(SMOOTH, "JPEG", progressive=True) if progressive else JPEG
    _error(data[: min(length, len(data) - 1)])


_WHOLE = {kind: _saved(NOISE, kind) for kind in ("PNG", "GIF", "TIFF", "WEBP", "BMP", "JPEG2000")}


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([*_WHOLE.values(), JPEG]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
)
def test_flipped_bytes_raise_only_image_errors(data, changes):
    damaged = bytearray(data)
    for place, value in changes:
        damaged[int(place * (len(damaged) - 1))] = value
    with contextlib.suppress(ImageError):
        pixels = decode(bytes(damaged), max_pixels=1_000_000)
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
