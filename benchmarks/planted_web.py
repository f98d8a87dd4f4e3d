"""A local web of real faces with planted duplicates and faults, and the expected results."""

import hashlib
import struct
import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from benchmarks.local_web import Server, answer, redirect, resolve_to_loopback

from wrinkle.faces.decode import decode

HOSTS = 16


@dataclass
class PlantedWeb:
    """Pictures on a server.

    Attributes:
        expected: URL → the status that fetching it must have.
        copy_of: URL of a planted duplicate → the file it was made of.
        origin: SHA-256 of a picture → the file that it is, or was made of.
        stop: ends answers that wait.
    """

    server: Server
    expected: dict[str, str] = field(default_factory=dict)
    copy_of: dict[str, str] = field(default_factory=dict)
    origin: dict[str, Path] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def add(self, name: str, data: bytes, file: Path) -> str:
        """Serve a picture; returns its URL."""
        self.server.routes[f"/{name}"] = answer(data)
        self.origin[hashlib.sha256(data).hexdigest()] = file
        return self._expect(name, "kept")

    def add_copies(self, files: Iterable[Path]) -> None:
        """Serve exact and near duplicates of some files."""
        for number, file in enumerate(files):
            data = file.read_bytes()
            image = decode(data)
            height, width = image.shape[:2]
            small = cv2.resize(
                image, (width * 4 // 5, height * 4 // 5), interpolation=cv2.INTER_AREA
            )
            cut = image[height // 100 + 1 :, width // 100 + 1 :]
            for kind, copy in {
                "same": data,
                "again": _jpeg(image, 75),
                "small": _jpeg(small, 90),
                "cut": _jpeg(cut, 92),
            }.items():
                url = self.add(f"{number}-{kind}.jpg", copy, file)
                self.copy_of[url] = str(file)

    def add_faults(self) -> None:
        """Serve errors, redirects, slow and endless answers, and other content."""
        routes = self.server.routes
        routes["/page.jpg"] = answer(b"<html><body>not here</body></html>")
        routes["/inside"] = redirect("http://10.0.0.1/admin.jpg")
        routes["/metadata"] = redirect("http://169.254.169.254/latest/meta-data")
        routes["/chain"] = redirect("/chain2")
        routes["/chain2"] = redirect("http://[::ffff:7f00:2]/a.jpg")
        routes["/circle"] = redirect("/circle")
        routes["/slow.jpg"] = lambda handler: self.stop.wait(30)
        routes["/endless.jpg"] = _endless
        routes["/bomb.png"] = answer(_bomb())
        routes["/robots.txt"] = answer(b"User-agent: *\nDisallow: /secret")
        routes["/secret.jpg"] = answer(b"")
        for name, reason in {
            "none.jpg": "HTTP error",
            "page.jpg": "not a picture",
            "inside": "address not public",
            "metadata": "address not public",
            "chain": "address not public",
            "circle": "too many redirects",
            "slow.jpg": "too slow",
            "endless.jpg": "too many bytes",
            "bomb.png": "too many pixels",
            "secret.jpg": "against robots.txt",
        }.items():
            self._expect(name, reason)
        for url in ("http://2130706434/a.jpg", "http://0x7f000002/a.jpg", "http://127.2/a.jpg"):
            self.expected[url] = "address not public"

    def _expect(self, name: str, status: str) -> str:
        host = int(hashlib.sha256(name.encode()).hexdigest(), 16) % HOSTS
        url = self.server.at(f"h{host}.example", f"/{name}")
        self.expected[url] = status
        return url


def resolver(host: str, port: int) -> list[str]:
    """Host names lead to the server, addresses to themselves."""
    return resolve_to_loopback(host, port) if host.endswith(".example") else [host]


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def _endless(handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"\xff" * 65536)


def _bomb() -> bytes:
    """A PNG of 50,000 × 50,000 pixels by its header, a few bytes long."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunks = b""
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 99)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + kind + body
        chunks += struct.pack(">I", zlib.crc32(kind + body))
    return b"\x89PNG\r\n\x1a\n" + chunks
