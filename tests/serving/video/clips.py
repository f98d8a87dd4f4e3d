"""Small clips for tests."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from benchmarks.composed_clips import write_clip


def plain(count: int, height: int = 48, width: int = 64) -> Iterable[np.ndarray]:
    """Frames whose red rises from 0 in steps of 5, brighter in the upper half."""
    for number in range(count):
        frame = np.full((height, width, 3), 40, np.uint8)
        frame[: height // 2] = 200
        frame[..., 0] = 5 * number % 250
        yield frame


def plain_clip(path: Path, count: int = 20) -> Path:
    write_clip(path, plain(count))
    return path


def sound(path: Path) -> Path:
    """A second of a tone, without pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        stream.layout = "mono"
        tone = np.sin(np.arange(16000) / 9).astype(np.float32)
        for start in range(0, 15360, 1024):
            samples = tone[None, start : start + 1024]
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
