"""Ages of the persons of a video: detect every few frames, follow between, estimate sometimes."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import cv2
import numpy as np

from wrinkle.errors import WrinkleError
from wrinkle.faces.detectors import Detection
from wrinkle.faces.detectors.threads import cores
from wrinkle.serving.estimator import AgeEstimator
from wrinkle.serving.video.evidence import Evidence, Person, sharpness, turned, weight
from wrinkle.serving.video.frames import Frame
from wrinkle.serving.video.tracker import Tracker

SIDE = 1280
"""Faces are searched in a copy of a frame whose longer side has at most so many pixels."""
PAUSE = 0.25
"""Seconds without a search, at most, where a frame has so little distance to the next."""
SPACING = 0.2
"""Seconds between two estimates of a person at least; neighbouring frames say the same."""
SHARE = 16
"""The distance of two estimates is at least this part of the time since the first: 16 estimates in
the first 3 seconds, some 130 in an hour."""


@dataclass(slots=True, eq=False)
class SeenFace:
    """A person's face in a frame. Coordinates are pixels of the frame, as in `Face`."""

    person: int
    """The person's number."""
    box: np.ndarray
    """(4,) float32: x1, y1, x2, y2."""
    key_points: np.ndarray
    """(5, 2) float32: image-left eye, image-right eye, nose tip, left and right mouth corner."""
    score: float
    """The detector's confidence in [0, 1]."""
    age: float
    """Years: the person's age as far as it is known by then."""
    interval: tuple[float, float]
    """Years: its 90 % interval."""


@dataclass(slots=True, eq=False)
class FrameFaces:
    """A frame and its faces."""

    number: int
    """0 for the first frame."""
    time: float
    """Seconds since the first frame."""
    image: np.ndarray = field(repr=False)
    """(H, W, 3) uint8 RGB."""
    faces: list[SeenFace]
    """In the order of the persons' numbers."""


@dataclass(slots=True, eq=False)
class _Follow:
    """A face that is followed, a person once it is seen twice."""

    evidence: Evidence
    first: float
    due: float
    last: float = 0.0
    sightings: int = 0
    frames: int = 0
    number: int | None = None


@dataclass(slots=True, eq=False)
class _Sight:
    """A frame that was searched: its time, and its faces by the numbers of their tracks."""

    time: float
    faces: dict[int, Detection]


class VideoEstimator:
    """Estimates one age for each person of a video. For one video: it remembers the persons.

    Faces are searched in every fourth frame, and in all frames that are 0.25 s apart. Between two
    such frames a box moves linearly, so frames are returned a few frames late. A face that is found
    only once is no person.

    Args:
        estimator: of single faces. Its detector's `min_face` is in pixels of the searched copy,
            whose longer side has at most 1,280.
        every: faces are searched in frames 0, `every`, 2 · `every`, …

    Raises:
        WrinkleError: `every` is below 1.

    Example:
        >>> video = VideoEstimator(AgeEstimator.load())
        >>> for frame in video.stream(VideoFile(Path("clip.mp4"))):
        ...     print(frame.time, [(face.person, round(face.age)) for face in frame.faces])
        >>> for person in video.persons():
        ...     print(person.number, person.age, person.interval)
    """

    def __init__(self, estimator: AgeEstimator, every: int = 4) -> None:
        if every < 1:
            raise WrinkleError(f"every is {every}: give 1 or more")
        self.estimator, self.every = estimator, every
        self._tracker = Tracker()
        self._followed: dict[int, _Follow] = {}
        self._searched = self._count = self._named = 0
        self._latest = 0.0

    def stream(
        self, frames: Iterable[Frame | np.ndarray], rate: float = 25.0
    ) -> Iterator[FrameFaces]:
        """Find and follow the faces of frames, in bounded memory.

        Args:
            frames: with rising times; or pictures (H, W, 3) uint8 RGB, upright.
            rate: of pictures without times, frames a second.

        Yields:
            Each frame with its faces, in order, up to 2 · `every` frames late for each core.
        """
        before = _Sight(0.0, {})
        held: list[Frame] = []
        for chunk, last in _chunks(_timed(frames, rate), self.every * min(cores(), 4)):
            marks = self._marks(chunk, last)
            found = dict(zip(marks, self._search([chunk[k] for k in marks]), strict=True))
            begin = self._count
            self._count += len(chunk)
            for k, frame in enumerate(chunk):
                if k in found:
                    yield from self._between(held, begin + k - len(held), before, found[k])
                    held, before = [], found[k]
                held.append(frame)
        yield from self._between(held, self._count - len(held), before, None)

    def persons(self) -> list[Person]:
        """The persons so far, in the order in which they were seen first."""
        known = [(f.number, f) for f in self._followed.values() if f.number is not None]
        return [
            Person(
                number,
                follow.evidence.age,
                follow.evidence.interval(),
                follow.evidence.distribution,
                follow.evidence.ages,
                follow.first,
                follow.last,
                follow.frames,
                follow.evidence.estimates,
                follow.evidence.independent,
                follow.evidence.side,
                follow.evidence.widen,
                follow.evidence.calibration,
            )
            for number, follow in sorted(known, key=lambda each: each[0])
        ]

    def _marks(self, chunk: list[Frame], last: bool) -> list[int]:
        """Which frames of a list to search; the last frame of the video is one of them."""
        marks = []
        for k, frame in enumerate(chunk):
            due = (self._count + k) % self.every == 0 or frame.time - self._latest >= PAUSE
            if due or (last and k == len(chunk) - 1):
                marks.append(k)
                self._latest = frame.time
        return marks

    def _search(self, frames: list[Frame]) -> list[_Sight]:
        """Find the faces of frames, match them with earlier ones, estimate those that are due."""
        sights, places, due = [], [], []
        for frame, faces in zip(frames, self._detect(frames), strict=True):
            self._searched += 1
            numbers = self._tracker.update(frame.time, frame.image, faces)
            sights.append(_Sight(frame.time, dict(zip(numbers, faces, strict=True))))
            for number, face in zip(numbers, faces, strict=True):
                follow = self._follow(number, frame.time)
                if frame.time >= follow.due:
                    follow.due = frame.time + max(SPACING, (frame.time - follow.first) / SHARE)
                    places.append((frame.image, face))
                    due.append(follow)
        for (image, face), follow, distribution, age in zip(
            places, due, *self.estimator.estimate(places), strict=True
        ):
            counts = weight(face.side, sharpness(image, face.box), turned(face.key_points))
            follow.evidence.add(distribution, float(age), counts, face.side)
        self._forget()
        return sights

    def _detect(self, frames: list[Frame]) -> list[list[Detection]]:
        copies, scales = [], []
        for frame in frames:
            scale = min(SIDE / max(frame.image.shape[:2]), 1.0)
            size = [max(round(scale * length), 1) for length in frame.image.shape[1::-1]]
            small = frame.image
            if scale < 1:
                small = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
            copies.append(small)
            scales.append(scale)
        found = self.estimator.find(copies)
        return [
            [Detection(f.box / scale, f.score, f.key_points / scale) for f in faces]
            for scale, faces in zip(scales, found, strict=True)
        ]

    def _follow(self, track: int, time: float) -> _Follow:
        if track not in self._followed:
            evidence = Evidence(self.estimator.ages, self.estimator.calibration)
            self._followed[track] = _Follow(evidence, time, time)
        follow = self._followed[track]
        follow.sightings += 1
        return follow

    def _forget(self) -> None:
        """Drop the faces that were found only once and are no longer remembered."""
        for track in [t for t in self._followed if t not in self._tracker.tracks]:
            if self._followed[track].sightings < 2:
                del self._followed[track]

    def _between(
        self, frames: list[Frame], number: int, before: _Sight, after: _Sight | None
    ) -> Iterator[FrameFaces]:
        """The frames from one that was searched to the next, without this."""
        for k, frame in enumerate(frames):
            seen = []
            for track, face in before.faces.items():
                follow = self._followed.get(track)
                if follow is None or (follow.sightings < 2 and self._searched > 1):
                    continue
                later = after.faces.get(track) if after else None
                if later is None and k > 0:
                    continue
                share = 0.0
                if later is not None and after is not None:
                    share = (frame.time - before.time) / max(after.time - before.time, 1e-9)
                seen.append(self._seen(follow, frame.time, face, later or face, share))
            seen.sort(key=lambda each: each.person)
            yield FrameFaces(number + k, frame.time, frame.image, seen)

    def _seen(
        self, follow: _Follow, time: float, face: Detection, later: Detection, share: float
    ) -> SeenFace:
        if follow.number is None:
            self._named += 1
            follow.number = self._named
        follow.frames += 1
        follow.last = time
        return SeenFace(
            follow.number,
            (1 - share) * face.box + share * later.box,
            (1 - share) * face.key_points + share * later.key_points,
            face.score,
            follow.evidence.age,
            follow.evidence.interval(),
        )


def _timed(frames: Iterable[Frame | np.ndarray], rate: float) -> Iterator[Frame]:
    for number, frame in enumerate(frames):
        yield frame if isinstance(frame, Frame) else Frame(frame, number / rate)


def _chunks(frames: Iterator[Frame], size: int) -> Iterator[tuple[list[Frame], bool]]:
    """Frames in lists of `size`, and whether a list is the last; read ahead in another thread."""

    def read() -> list[Frame]:
        return list(islice(frames, size))

    with ThreadPoolExecutor(1, "wrinkle-frames") as reader:
        chunk, following = read(), reader.submit(read)
        while chunk:
            later = following.result()
            following = reader.submit(read)
            yield chunk, not later
            chunk = later
