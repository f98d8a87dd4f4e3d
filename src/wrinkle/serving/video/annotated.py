"""A video with a box and a label for each face."""

from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wrinkle.errors import WrinkleError, require
from wrinkle.serving.annotate import BOX, INK, Place, label_place
from wrinkle.serving.video.estimator import FrameFaces, SeenFace

CLOCK = 90_000
"""Ticks of the written video's clock in a second."""


class AnnotatedVideo:
    """An MP4 file (H.264 if PyAV has an encoder for it, else MPEG-4) without sound.

    Args:
        path: the file, which is complete once it is closed.
        width: of the frames in pixels; an odd last column or row is left out.
        height: as `width`.
        rate: frames a second, for the encoder; each frame keeps its time.

    Raises:
        WrinkleError: it cannot be written, or PyAV is missing.
    """

    def __init__(self, path: Path, width: int, height: int, rate: float) -> None:
        require("video")
        import av

        self.path, self._size, self._last = path, (width - width % 2, height - height % 2), -1
        if 0 in self._size:
            raise WrinkleError(
                f"cannot write {path}: frames of {width}×{height} pixels are too small to be "
                "annotated: leave out --annotate"
            )
        try:
            self._container = av.open(str(path), "w", format="mp4")
        except OSError as error:
            raise WrinkleError(f"cannot write {path}: {error.strerror}") from error
        known = "libx264" in av.codecs_available
        given = Fraction(rate).limit_denominator(1001)
        self._stream = self._container.add_stream("libx264" if known else "mpeg4", rate=given)
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, CLOCK)
        self._stream.options = {"preset": "veryfast", "crf": "21"} if known else {}

    def write(self, frame: FrameFaces) -> None:
        """Draw the faces on a copy of a frame and write it."""
        from av.video.frame import VideoFrame

        width, height = self._size
        picture = np.array(frame.image[:height, :width])
        draw_faces(picture, frame.faces)
        coded = VideoFrame.from_ndarray(picture, format="rgb24")
        # The encoder refuses times that do not rise.
        self._last = max(round(frame.time * CLOCK), self._last + 1)
        coded.pts, coded.time_base = self._last, Fraction(1, CLOCK)
        self._container.mux(self._stream.encode(coded))

    def close(self) -> None:
        """Write what the encoder holds back, and close the file."""
        self._container.mux(self._stream.encode())
        self._container.close()


def draw_faces(picture: np.ndarray, faces: list[SeenFace]) -> None:
    """Draw a box and a label such as `2: 34 (27-42)` for each face, in place.

    The letters' size depends on the picture's height alone, so that labels do not tremble.

    Args:
        picture: (H, W, 3) uint8 RGB.
        faces: in it.
    """
    height, width = picture.shape[:2]
    line = max(round(height / 300), 1)
    taken: list[Place] = []
    for face in faces:
        box = face.box.round().astype(int)
        x1, x2 = (int(x) for x in box[[0, 2]].clip(0, width - 1))
        y1, y2 = (int(y) for y in box[[1, 3]].clip(0, height - 1))
        for part in (
            np.s_[y1 : y1 + line, x1 : x2 + 1],
            np.s_[y2 - line + 1 : y2 + 1, x1 : x2 + 1],
            np.s_[y1 : y2 + 1, x1 : x1 + line],
            np.s_[y1 : y2 + 1, x2 - line + 1 : x2 + 1],
        ):
            picture[part] = BOX
    for face in faces:
        low, high = face.interval
        text = f"{face.person}: {face.age:.0f} ({low:.0f}-{high:.0f})"
        _paste(picture, _label(text, max(height // 36, 12)), face.box, taken)


def _paste(picture: np.ndarray, label: np.ndarray, box: np.ndarray, taken: list[Place]) -> None:
    (tall, wide), (height, width) = label.shape[:2], picture.shape[:2]
    if tall > height or wide > width:
        return
    x1, y1, x2, y2 = box.round().tolist()
    taken.append(label_place((x1, y1, x2, y2), (wide, tall), (width, height), taken))
    x, y = (round(end) for end in taken[-1][:2])
    picture[y : y + tall, x : x + wide] = label


@lru_cache(256)
def _label(text: str, size: int) -> np.ndarray:
    font = ImageFont.load_default(size)
    left, top, right, _ = font.getbbox(text)
    # As high for every text.
    _, _, _, deepest = font.getbbox("(0)")
    pad = round(size * 0.25)
    picture = Image.new("RGB", (round(right - left) + 2 * pad, round(deepest - top) + 2 * pad), BOX)
    ImageDraw.Draw(picture).text((pad - left, pad - top), text, fill=INK, font=font)
    return np.asarray(picture)
