"""What a file's bytes say: its format, whether it is cut short, whether a PNG is intact."""

import io
import os
import zlib
from typing import BinaryIO

from wrinkle.faces.jpeg import is_complete_jpeg

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PICTURES = (
    *(b"\xff\xd8\xff", _PNG, b"GIF87a", b"GIF89a", *_TIFF, b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    *(b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"P7", b"Pf", b"PF"),
)
_VIDEOS = (
    *(b"\x1a\x45\xdf\xa3", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"FLV\x01"),
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
)


def brands(head: bytes) -> list[bytes]:
    """The brands in the first box of a file of the ISO base media format; else none."""
    if head[4:8] != b"ftyp":
        return []
    return [head[i : i + 4] for i in (8, *range(16, len(head) - 3, 4))]


def is_picture(head: bytes) -> bool:
    """Whether a file that starts with `head` (32 bytes) has a format that `decode` reads."""
    if head.startswith(b"P") and not head[2:3].isspace():
        return False
    riff = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    # A bitmap's header also gives its own length.
    bitmap = head[:2] == b"BM" and head[15:18] == b"\0\0\0" and 12 <= head[14] <= 124
    iso = any(brand in AVIF_BRANDS + HEIF_BRANDS for brand in brands(head))
    return head.startswith(_PICTURES) or riff or bitmap or iso


def is_video(head: bytes) -> bool:
    """Whether a file that starts with `head` (32 bytes) is a video."""
    if head[4:8] == b"ftyp":
        return not is_picture(head)
    atom = head[4:8] in (b"moov", b"mdat", b"wide", b"free") and head[:2] == b"\0\0"
    avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    return atom or avi or head.startswith(_VIDEOS)


def is_cut_short(file: BinaryIO) -> bool:
    """Whether the file ends before its own headers say; False where they do not say."""
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(32)
    file.seek(0)
    if head.startswith(b"\xff\xd8\xff"):
        return not is_complete_jpeg(file.read())
    if head.startswith(_PNG):
        try:
            check_png(file)
        except EOFError:
            return True
        except ValueError:
            return False
    if head[:4] == b"RIFF":
        return length < 8 + int.from_bytes(head[4:8], "little")
    if head[:2] == b"BM":
        return length < int.from_bytes(head[2:6], "little")
    if head.startswith(_TIFF):
        return _tiff_needs(file, head, length) > length
    if brands(head) or head.startswith(b"\0\0\0\x0cjP  "):
        return _boxes_need(file, length) > length
    return False


def _tiff_needs(file: BinaryIO, head: bytes, length: int) -> int:
    """The end of what a TIFF file's first directory names: the directory, strips and tiles."""
    order = "little" if head[:2] == b"II" else "big"

    def number(data: bytes) -> int:
        return int.from_bytes(data, order)  # type: ignore[arg-type]

    if 43 in head[2:4]:  # BigTIFF
        return number(head[8:16]) + 8
    start = number(head[4:8])
    end = start + 2
    if end > length:
        return end
    file.seek(start)
    count = number(file.read(2))
    end += 12 * count + 4
    entries = file.read(12 * count)
    widths = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
    values: dict[int, list[int]] = {}
    for at in range(0, len(entries) - 11, 12):
        tag, kind = number(entries[at : at + 2]), number(entries[at + 2 : at + 4])
        width, many = widths.get(kind, 1), number(entries[at + 4 : at + 8])
        data = entries[at + 8 : at + 12]
        if width * many > 4:
            file.seek(number(data))
            end = max(end, number(data) + width * many)
            data = file.read(width * many) if tag in (273, 279, 324, 325) else b""
        values[tag] = [number(data[i : i + width]) for i in range(0, len(data), width)]
    for offsets, counts in ((273, 279), (324, 325)):
        pairs = zip(values.get(offsets, []), values.get(counts, []), strict=False)
        end = max([end, *(offset + size for offset, size in pairs)])
    return end


def _boxes_need(file: BinaryIO, length: int) -> int:
    """The end of the outermost boxes of a file of the ISO base media format."""
    at = 0
    while at + 8 <= length:
        file.seek(at)
        header = file.read(16)
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if size == 0:  # up to the end of the file
            return length
        if size < 8:  # damaged
            return length
        at += size
    return at


def check_png(file: BinaryIO) -> int | None:
    """Check the checksums of a PNG file's pixels, which Pillow does not.

    Returns:
        The bits of each sample that are used, as its chunk sBIT says; None if there is none.

    Raises:
        EOFError: the file is cut short.
        ValueError: a chunk's checksum is wrong.
    """
    used = None
    file.seek(len(_PNG))
    while True:
        header = file.read(8)
        size, kind = int.from_bytes(header[:4], "big"), header[4:]
        if len(header) < 8:
            raise EOFError
        if kind not in (b"IDAT", b"sBIT"):
            file.seek(size + 4, io.SEEK_CUR)
            if kind == b"IEND":
                return used
            continue
        data, checksum = file.read(size), file.read(4)
        if len(checksum) < 4:
            raise EOFError
        if kind == b"IDAT" and zlib.crc32(data, zlib.crc32(kind)) != int.from_bytes(
            checksum, "big"
        ):
            raise ValueError("the checksum of its pixels is wrong")
        if kind == b"sBIT" and data:
            used = max(data)
