from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import EXAMPLES
from wrinkle import AgeEstimator
from wrinkle.errors import WrinkleError
from wrinkle.faces.decode import decode
from wrinkle.serving.video import Frame, VideoEstimator


def portrait(name: str, height: int) -> np.ndarray:
    image = decode(EXAMPLES / f"{name}.jpg")
    width = round(height * image.shape[1] / image.shape[0])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def moving(count: int) -> Iterator[np.ndarray]:
    """Grace Hopper, who moves by 3 pixels to the right in each frame."""
    face = portrait("grace_hopper_1984", 200)
    for number in range(count):
        frame = np.full((200, 320, 3), 90, np.uint8)
        frame[:, 3 * number : 3 * number + face.shape[1]] = face
        yield frame


@pytest.fixture(scope="module")
def estimator(small_model: Path) -> AgeEstimator:
    return AgeEstimator.load(small_model, "cpu")


def test_boxes_follow_a_face_between_searched_frames(estimator: AgeEstimator) -> None:
    video = VideoEstimator(estimator)
    frames = list(video.stream(moving(15), rate=30))
    assert [frame.number for frame in frames] == list(range(15))
    assert [frame.time for frame in frames] == pytest.approx(np.arange(15) / 30)
    assert [[face.person for face in frame.faces] for frame in frames] == [[1]] * 15
    left = np.array([frame.faces[0].box[0] for frame in frames])
    eye = np.array([frame.faces[0].key_points[0, 0] for frame in frames])
    for place in (left, eye):
        assert np.abs(place - place[0] - 3 * np.arange(15)).max() < 4
    for frame, picture in zip(frames, moving(15), strict=True):
        assert (frame.image == picture).all()
    (person,) = video.persons()
    assert (person.number, person.first, person.frames) == (1, 0, 15)
    assert person.last == pytest.approx(14 / 30)
    assert person.estimates == 3  # 0.2 s apart: frames 0, 8 and 14


def test_a_person_who_comes_later_and_leaves_is_another_one(estimator: AgeEstimator) -> None:
    one, other = portrait("grace_hopper_1984", 200), portrait("barack_obama_2009", 200)

    def scene() -> Iterator[Frame]:
        for number in range(17):
            frame = np.full((200, 400, 3), 90, np.uint8)
            frame[:, : one.shape[1]] = one
            if 6 <= number < 13:
                frame[:, -other.shape[1] :] = other
            yield Frame(frame, number / 25)

    video = VideoEstimator(estimator)
    seen = [[face.person for face in frame.faces] for frame in video.stream(scene())]
    assert seen == [[1]] * 8 + [[1, 2]] * 5 + [[1]] * 4
    first, second = video.persons()
    assert (second.first, second.last, second.frames) == (0.32, 0.48, 5)
    assert first.frames == 17
    assert first.age != second.age


def test_one_frame_is_a_video(estimator: AgeEstimator) -> None:
    for count in (1, 2):
        video = VideoEstimator(estimator)
        frames = list(video.stream(moving(count)))
        assert [len(frame.faces) for frame in frames] == [1] * count
        assert len(video.persons()) == 1


def test_no_frames_and_no_faces_are_no_persons(estimator: AgeEstimator) -> None:
    for frames in ([], [np.zeros((60, 80, 3), np.uint8)] * 9):
        video = VideoEstimator(estimator)
        assert [frame.faces for frame in video.stream(frames)] == [[]] * len(frames)
        assert video.persons() == []


def test_frames_are_read_only_as_far_as_needed(estimator: AgeEstimator) -> None:
    read = []

    def frames() -> Iterator[np.ndarray]:
        for number in range(10_000):
            read.append(number)
            yield np.zeros((60, 80, 3), np.uint8)

    stream = VideoEstimator(estimator).stream(frames())
    next(stream)
    stream.close()
    assert len(read) <= 50


def test_an_error_while_reading_is_raised(estimator: AgeEstimator) -> None:
    def frames() -> Iterator[np.ndarray]:
        yield from [np.zeros((60, 80, 3), np.uint8)] * 40
        raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        list(VideoEstimator(estimator).stream(frames()))


def test_every_is_checked(estimator: AgeEstimator) -> None:
    with pytest.raises(WrinkleError, match="every is 0"):
        VideoEstimator(estimator, every=0)


def test_estimates_become_rarer(estimator: AgeEstimator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A still of an hour, of which the ages are not computed: about 130 estimates."""
    faces = estimator.find([next(moving(1))])[0]
    monkeypatch.setattr(VideoEstimator, "_detect", lambda self, frames: [faces] * len(frames))
    ages = estimator.ages
    flat = np.full(len(ages), 1 / len(ages), np.float32)

    def estimate(places: list[object]) -> tuple[np.ndarray, np.ndarray]:
        return np.tile(flat, (len(places), 1)), np.full(len(places), 50.0)

    monkeypatch.setattr(estimator, "estimate", estimate)
    picture = next(moving(1))
    video = VideoEstimator(estimator)
    for _ in video.stream(Frame(picture, number / 2) for number in range(7200)):
        pass
    (person,) = video.persons()
    assert 80 < person.estimates < 140
    assert person.frames == 7200


def test_a_video_of_a_frame_a_second_has_persons(estimator: AgeEstimator) -> None:
    video = VideoEstimator(estimator)
    assert [len(frame.faces) for frame in video.stream(moving(3), rate=1)] == [1, 1, 1]
    (person,) = video.persons()
    assert (person.frames, person.estimates, person.last) == (3, 3, 2)
