"""Clips composed of FG-NET's faces, whose ages are known."""

from pathlib import Path

import numpy as np
import pytest
from benchmarks.composed_clips import Actor, Script, crossing, frames, load_actor, sway

from wrinkle import AgeEstimator
from wrinkle.serving.video import VideoEstimator
from wrinkle.serving.video.estimator import FrameFaces

pytestmark = [pytest.mark.slow, pytest.mark.data]


@pytest.fixture(scope="module")
def estimator() -> AgeEstimator:
    return AgeEstimator.load(device="cpu")


@pytest.fixture(scope="module")
def actors(data_root: Path, estimator: AgeEstimator) -> list[Actor]:
    names = ("001A43a.JPG", "002A38.JPG", "010A05.JPG", "011A42.JPG")
    found = [load_actor(data_root / "fgnet" / "images" / n, estimator.detector) for n in names]
    return [actor for actor in found if actor is not None]


def persons_at(frame: FrameFaces, script: Script) -> dict[int, int]:
    """Actor → number of the person whose box holds the actor's centre."""
    found = {}
    for face in frame.faces:
        x, y = (face.box[:2] + face.box[2:]) / 2
        poses = [poses[frame.number] for _, poses in script]
        near = [np.hypot(pose.x - x, pose.y - y) / pose.side for pose in poses]
        assert min(near) < 0.5
        found[int(np.argmin(near))] = face.person
    return found


@pytest.mark.parametrize("pair", [(0, 1), (2, 3), (3, 1)])
def test_two_who_cross_keep_their_numbers(
    estimator: AgeEstimator, actors: list[Actor], pair: tuple[int, int]
) -> None:
    script = crossing(75, [actors[k] for k in pair], 360, 640, 75)
    video = VideoEstimator(estimator)
    seen = [persons_at(frame, script) for frame in video.stream(frames(script, 360, 640))]
    assert len(seen) == 75
    numbers = [{one[actor] for one in seen if actor in one} for actor in (0, 1)]
    assert sorted(len(own) for own in numbers) == [1, 1]
    assert numbers[0] != numbers[1]
    ages = {person.number: person.age for person in video.persons()}
    for actor in (0, 1):
        (number,) = numbers[actor]
        assert ages[number] == pytest.approx(actors[pair[actor]].age, abs=12)


def test_shown_ages_flicker_a_fifth_as_much_as_single_frames(
    estimator: AgeEstimator, actors: list[Actor]
) -> None:
    script = [(actors[0], sway(50, 160, 150, 110, 3))]
    pictures = list(frames(script, 320, 320))
    video = VideoEstimator(estimator)
    shown = [face.age for frame in video.stream(pictures) for face in frame.faces]
    places = [(p, found[0]) for p in pictures if (found := estimator.find([p])[0])]
    single = estimator.estimate(places)[1]
    assert len(shown) == len(single) == 50
    assert np.abs(np.diff(shown)).mean() < np.abs(np.diff(single)).mean() / 5
