"""Clips composed of photographs whose ages are known: faces that move in front of a background."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wrinkle.faces.decode import decode
from wrinkle.faces.detectors import Detector


@dataclass(frozen=True)
class Actor:
    """A face of known age.

    Attributes:
        age: years.
        pixels: (H, W, 3) uint8 RGB.
        cover: (H, W) float32 in [0, 1], 0 where the background shows.
        centre: (2,) of the face's box in `pixels`.
        side: the box's longer side.
    """

    age: int
    pixels: np.ndarray
    cover: np.ndarray
    centre: np.ndarray
    side: float


@dataclass(frozen=True)
class Pose:
    """Where a face is in a frame: its centre and longer side in pixels, its tilt in degrees, a
    factor of its brightness, and the deviation of a blur in pixels."""

    x: float
    y: float
    side: float
    tilt: float = 0.0
    light: float = 1.0
    blur: float = 0.0


Script = Sequence[tuple[Actor, Sequence[Pose]]]
"""Faces, each with a pose per frame; a later one covers an earlier one."""


def fgnet_age(path: Path) -> int:
    """The age in an FG-NET file's name: 001A43a.JPG → 43."""
    return int(path.stem.upper().partition("A")[2][:2])


def load_actor(path: Path, detector: Detector) -> Actor | None:
    """Cut the most prominent face of an FG-NET photograph out; None if none is found."""
    image = decode(path)
    faces = detector([image])[0]
    if not faces:
        return None
    face = faces[0]
    centre, side = (face.box[:2] + face.box[2:]) / 2, face.side
    low = np.floor(centre - 0.8 * side).astype(int).clip(0)
    high = np.ceil(centre + 0.8 * side).astype(int)
    pixels = image[low[1] : high[1], low[0] : high[0]]
    x, y = (np.arange(n) + 0.5 for n in pixels.shape[1::-1])
    away = np.hypot(*np.meshgrid(x - centre[0] + low[0], y - centre[1] + low[1])) / side
    cover = np.clip((0.8 - away) / 0.06, 0, 1).astype(np.float32)
    return Actor(fgnet_age(path), pixels, cover, centre - low, float(side))


def background(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth coloured texture (H, W, 3) uint8 without faces."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 190, (9, 16, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def frames(
    script: Script, height: int = 720, width: int = 1280, seed: int = 0
) -> Iterator[np.ndarray]:
    """The frames (H, W, 3) uint8 RGB of a clip, with noise."""
    rng = np.random.default_rng(seed)
    behind = background(height, width, seed)
    noise = rng.normal(0, 2, (height + 64, width + 64, 3)).astype(np.int8)
    for number in range(min(len(poses) for _, poses in script)):
        frame = behind.copy()
        for actor, poses in script:
            _draw(frame, actor, poses[number])
        y, x = rng.integers(0, 64, 2)
        yield cv2.add(frame, noise[y : y + height, x : x + width], dtype=cv2.CV_8U)


def _draw(frame: np.ndarray, actor: Actor, pose: Pose) -> None:
    scale = pose.side / actor.side
    centre = actor.centre
    matrix = cv2.getRotationMatrix2D(centre.astype(float).tolist(), pose.tilt, scale)
    reach = int(np.ceil(0.9 * pose.side))
    x, y = round(pose.x) - reach, round(pose.y) - reach
    matrix[:, 2] += (pose.x - x - centre[0], pose.y - y - centre[1])
    side = 2 * reach
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + side, frame.shape[1]), min(y + side, frame.shape[0])
    if right <= left or bottom <= top:
        return
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    face = cv2.warpAffine(actor.pixels, matrix, (side, side), flags=method)
    cover = cv2.warpAffine(actor.cover, matrix, (side, side), flags=cv2.INTER_LINEAR)
    if pose.blur:
        face = cv2.GaussianBlur(face, None, pose.blur)
    part = np.s_[top - y : bottom - y, left - x : right - x]
    share = cover[part][..., None]
    place = frame[top:bottom, left:right]
    lit = face[part].astype(np.float32) * pose.light
    place[:] = (share * lit + (1 - share) * place).clip(0, 255).astype(np.uint8)


def sway(count: int, x: float, y: float, side: float, seed: int) -> list[Pose]:
    """A person who stays about at one place: small movements, changes of light, blur at times."""
    rng = np.random.default_rng(seed)
    t = np.arange(count) / 25
    a, b, c, d, e = rng.uniform(0, 2 * np.pi, 5)
    speed = rng.uniform(0.7, 1.4, 5)
    return [
        Pose(
            x + side * (0.25 * np.sin(speed[0] * s + a) + 0.02 * np.sin(9 * s)),
            y + side * 0.12 * np.sin(speed[1] * s + b),
            side * (1 + 0.15 * np.sin(speed[2] * s + c)),
            9 * float(np.sin(speed[3] * s + d)),
            1 + 0.25 * float(np.sin(speed[4] * s + e)),
            max(0.0, 2.5 * float(np.sin(1.7 * s + e)) - 1) * side / 150,
        )
        for s in t
    ]


def crossing(
    count: int, actors: Sequence[Actor], height: int = 720, width: int = 1280, side: float = 150
) -> Script:
    """Two persons who walk towards each other, cross at the middle, and walk on."""
    t = np.linspace(0.12, 0.88, count)
    there = [Pose(width * s, height * 0.5, side, 4 * float(np.sin(9 * s))) for s in t]
    back = [Pose(width * (1 - s), height * 0.54, side * 1.15, 4 * float(np.cos(8 * s))) for s in t]
    return [(actors[0], there), (actors[1], back)]


def write_clip(path: Path, pictures: Iterable[np.ndarray], rate: int = 25) -> None:
    """Write frames (H, W, 3) uint8 RGB as H.264, the index at the start of the file."""
    import av

    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream: Any = None
        for picture in pictures:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate)
                stream.height, stream.width = picture.shape[:2]
                stream.options = {"preset": "veryfast", "crf": "23"}
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode())
