import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import EXAMPLES
from wrinkle.cli import main


class Done(NamedTuple):
    """What a command left: its exit code, standard output, lines of standard error."""

    code: int
    out: str
    err: list[str]


Command = Callable[..., Done]


@pytest.fixture
def wrinkle(capfd: pytest.CaptureFixture[str]) -> Command:
    """The command line in this process."""

    def run(*arguments: object) -> Done:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Done(code, captured.out, captured.err.splitlines())

    return run


def start(*arguments: object, **options: object) -> "subprocess.Popen[str]":
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "wrinkle", *map(str, arguments)]
    environment = {**os.environ, "PYTHONWARNINGS": "error::ResourceWarning"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,  # type: ignore[call-overload]
    )


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size, and holds hardly a pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.fixture
def hostile(tmp_path: Path) -> dict[str, Path]:
    """Files that are not photographs; each gives one line."""
    portrait = (EXAMPLES / "joe_biden_2010.jpg").read_bytes()
    files = {
        "empty file": ("empty.jpg", b""),
        "cut short": ("short.jpg", portrait[: len(portrait) // 2]),
        "cut in its header": ("stub.jpg", portrait[:40]),
        "text": ("text.jpg", b"Dear Diary,\ntoday I took no photograph.\n"),
        "too large": ("wall.png", png(30_000, 30_000)),
        "damaged": ("lines.png", png(300, 300)),
    }
    paths = {}
    for name, (file, content) in files.items():
        paths[name] = tmp_path / file
        paths[name].write_bytes(content)
    return {"missing": tmp_path / "missing.jpg", **paths}
