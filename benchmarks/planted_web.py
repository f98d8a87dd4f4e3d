"""A web of real faces with planted trouble, and what is to become of each of its URLs."""

import hashlib
import threading
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
    """Pictures on a server; `fate` says how each URL must end, `twin_of` what was made of what."""

    server: Server
    fate: dict[str, str] = field(default_factory=dict)
    twin_of: dict[str, str] = field(default_factory=dict)
    origin: dict[str, Path] = field(default_factory=dict)
    """Picture's SHA-256 → the file that it is, or was made of."""
    stop: threading.Event = field(default_factory=threading.Event)

    def put(self, name: str, data: bytes, file: Path) -> str:
        self.server.routes[f"/{name}"] = answer(data)
        self.origin[hashlib.sha256(data).hexdigest()] = file
        return self._end(name, "kept")

    def plant(self, files: Iterable[Path]) -> None:
        """Near and exact duplicates of some files."""
        for number, file in enumerate(files):
            data = file.read_bytes()
            image = decode(data)
            height, width = image.shape[:2]
            small = cv2.resize(
                image, (width * 4 // 5, height * 4 // 5), interpolation=cv2.INTER_AREA
            )
            cut = image[height // 100 + 1 :, width // 100 + 1 :]
            for kind, twin in {
                "same": data,
                "again": _jpeg(image, 75),
                "small": _jpeg(small, 90),
                "cut": _jpeg(cut, 92),
            }.items():
                url = self.put(f"{number}-{kind}.jpg", twin, file)
                self.twin_of[url] = str(file)

    def trouble(self) -> None:
        """What the web has besides pictures."""
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
            self._end(name, reason)
        for url in ("http://2130706434/a.jpg", "http://0x7f000002/a.jpg", "http://127.2/a.jpg"):
            self.fate[url] = "address not public"

    def _end(self, name: str, reason: str) -> str:
        host = int(hashlib.sha256(name.encode()).hexdigest(), 16) % HOSTS
        url = self.server.at(f"h{host}.example", f"/{name}")
        self.fate[url] = reason
        return url


def resolver(host: str, port: int) -> list[str]:
    """Names lead to the server; addresses stay what they are."""
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
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunks = b""
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 99)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + kind + body
        chunks += struct.pack(">I", zlib.crc32(kind + body))
    return b"\x89PNG\r\n\x1a\n" + chunks
