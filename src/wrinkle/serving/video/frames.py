"""Frames of video files, by PyAV, and of cameras, by OpenCV, as upright RGB pictures with times."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from wrinkle.errors import WrinkleError, require
from wrinkle.faces.pictures import printable
from wrinkle.faces.signatures import is_picture, is_video

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".ogv", ".ts", ".webm", ".wmv"),
)
"""Suffixes, in lower case, of files that are taken for videos unless they hold a picture."""
SHORT = 0.95
"""A file that holds less than this share of the frames, or the time, that it declares is cut."""


@dataclass(slots=True)
class Frame:
    """A frame of a video."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB, upright."""
    time: float
    """Seconds since the first frame."""


def is_video_file(path: Path) -> bool:
    """Whether a file is a video by its first bytes, or by its suffix and no picture.

    A pipe is none: it can be read only once, and opening it may wait for ever.
    """
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(32)
    except (OSError, ValueError):
        return False
    return is_video(head) or (path.suffix.lower() in SUFFIXES and not is_picture(head))


class VideoFile:
    """The frames of a video file's first picture stream.

    Frames that the decoder calls corrupt are left out: what it fills in would be read as skin.

    Args:
        path: the file.

    Attributes:
        width: of the upright frames, in pixels.
        height: as `width`.
        rate: frames a second, on average; 25 if the file does not say.
        expected: number of frames that the file declares or that fit into its duration; None if
            it declares neither.
        fault: None, or in one line what was wrong with the frames read so far.

    Raises:
        WrinkleError: the file has no frames that can be decoded, or PyAV is missing; one line.
    """

    def __init__(self, path: Path) -> None:
        require("video")
        import av

        self.name = printable(str(path))
        self.fault: str | None = None
        try:
            # No other protocol: a playlist in a file must not make requests.
            self._container = av.open(str(path), options={"protocol_whitelist": "file"})
        except av.error.FFmpegError as error:
            raise WrinkleError(
                f"{self.name}: cannot be read as a video ({_reason(error)}): it is cut short, "
                "damaged or of an unknown kind"
            ) from None
        try:
            self._stream = self._find_stream()
            self._first, turn = self._look()
        except BaseException:
            self._container.close()
            raise
        codec = self._stream.codec_context
        size = (codec.width, codec.height)
        self.width, self.height = size[::-1] if turn % 180 else size
        self.rate = float(self._stream.average_rate or 25)
        self.expected = self._count()

    def _find_stream(self) -> Any:
        from av.stream import Disposition

        streams = [
            s for s in self._container.streams.video if not s.disposition & Disposition.attached_pic
        ]
        if not streams:
            sound = self._container.streams.audio
            what = "has sound but no pictures" if sound else "has no stream of pictures"
            raise WrinkleError(f"{self.name}: {what}: give a video")
        if streams[0].codec_context is None:
            raise WrinkleError(
                f"{self.name}: no decoder for its pictures is known: save it as H.264 (MP4)"
            )
        streams[0].thread_type = "AUTO"
        return streams[0]

    def _look(self) -> tuple["VideoFrame", int]:
        """The first frame, and by how many degrees it is turned."""
        self._decoding = self._decode()
        first = next(self._decoding, None)
        if first is None:
            reason = f" ({self.fault})" if self.fault else ""
            raise WrinkleError(
                f"{self.name}: has no frames that can be decoded{reason}: it is empty, cut short "
                "or damaged"
            )
        return first, first.rotation

    def _decode(self) -> Iterator["VideoFrame"]:
        """The frames that are intact; a fault ends them."""
        import av

        corrupt = 0
        try:
            for frame in self._container.decode(self._stream):
                if frame.is_corrupt:
                    corrupt += 1
                else:
                    yield frame
        except av.error.FFmpegError as error:
            self.fault = _reason(error)
        if corrupt and self.fault is None:
            self.fault = f"{corrupt:,} damaged frame{'s were' if corrupt > 1 else ' was'} left out"

    def _count(self) -> int | None:
        stream = self._stream
        if stream.frames:
            return int(stream.frames)
        seconds = None
        if stream.duration:
            seconds = float(stream.duration * stream.time_base)
        elif self._container.duration and not self._container.streams.audio:
            seconds = self._container.duration / 1e6
            if "matroska" in self._container.format.name:  # its duration counts from time 0
                seconds -= (self._container.start_time or 0) / 1e6
        return round(seconds * self.rate) if seconds and seconds > 0 else None

    def __iter__(self) -> Iterator[Frame]:
        """The frames, once; sets `fault` at the end if some are missing."""
        count, start = 0, self._first.time or 0.0
        frame: VideoFrame | None = self._first
        try:
            while frame is not None:
                seconds = count / self.rate if frame.time is None else frame.time - start
                image = frame.to_ndarray(format="rgb24")
                turned = np.rot90(image, round(frame.rotation / 90)) if frame.rotation else image
                yield Frame(np.ascontiguousarray(turned), seconds)
                count += 1
                frame = next(self._decoding, None)
        finally:
            self._container.close()
        if self.fault is not None:
            self.fault = f"{self.name}: is damaged after {count:,} frames ({self.fault})"
        elif self.expected and count < SHORT * self.expected - 1:
            self.fault = (
                f"{self.name}: is cut short: {count:,} of about {self.expected:,} frames; "
                "get the complete file"
            )

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    log = getattr(error, "log", None)
    return f"{text}: {log[2].strip()}" if log else text


class Camera:
    """The frames of a camera, until it is closed or unplugged.

    Args:
        number: 0 for the first camera.

    Attributes:
        width: of the frames, in pixels.
        height: as `width`.
        rate: frames a second that the camera declares; 25 if it does not.
        expected: None.
        fault: None, or in one line why the frames ended.

    Raises:
        WrinkleError: there is no such camera.
    """

    expected = None

    def __init__(self, number: int = 0) -> None:
        logging = cv2.utils.logging
        before = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        try:
            self._capture = cv2.VideoCapture(number)
            good, picture = self._capture.read()
        finally:
            logging.setLogLevel(before)
        self.name = f"camera {number}"
        self.fault: str | None = None
        if not good:
            self._capture.release()
            raise WrinkleError(
                f"no {self.name}: connect it, allow its use, or give the number of another one"
            )
        self.height, self.width = picture.shape[:2]
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or 25.0

    def __iter__(self) -> Iterator[Frame]:
        """The frames from now on."""
        start = time.monotonic()
        while self._capture.isOpened():
            good, picture = self._capture.read()
            if not good:
                self.fault = f"{self.name}: gives no more frames"
                return
            yield Frame(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), time.monotonic() - start)

    def close(self) -> None:
        """Release the camera."""
        self._capture.release()
