import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import EXAMPLES
from tests.serving.video.clips import plain_clip, sound
from wrinkle.errors import WrinkleError
from wrinkle.serving.video.frames import Camera, VideoFile, is_video_file


def test_frames_are_rgb_with_their_times(tmp_path: Path) -> None:
    video = VideoFile(plain_clip(tmp_path / "a.mp4"))
    assert (video.width, video.height, video.rate, video.expected) == (64, 48, 25, 20)
    frames = list(video)
    assert [frame.time for frame in frames] == pytest.approx(np.arange(20) / 25)
    for number, frame in enumerate(frames):
        red, green, _ = frame.image[:20].reshape(-1, 3).mean(0)
        assert frame.image.shape == (48, 64, 3)
        assert red == pytest.approx(5 * number, abs=8)
        assert green == pytest.approx(200, abs=8)
    assert video.fault is None


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mov"])
def test_containers_are_known_by_their_first_bytes(tmp_path: Path, suffix: str) -> None:
    other = plain_clip(tmp_path / f"a{suffix}").rename(tmp_path / "without-a-suffix")
    assert is_video_file(other)
    assert len(list(VideoFile(other))) == 20


def test_pictures_are_no_videos(tmp_path: Path) -> None:
    picture = EXAMPLES / "grace_hopper_1984.jpg"
    named = tmp_path / "picture.mp4"
    named.write_bytes(picture.read_bytes())
    assert not any(map(is_video_file, (picture, named, tmp_path, tmp_path / "none.mp4")))
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)))
    assert is_video_file(tmp_path / "noise.mp4")


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    assert not is_video_file(pipe)  # opening it would wait for a writer
    assert not is_video_file(tmp_path / ("long" * 100))


def remux(clip: Path, copy: Path, late: float = 0) -> None:
    """Copy a video's packets into another container, to be shown `late` seconds later."""
    import av

    with av.open(str(clip)) as source, av.open(str(copy), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                ticks = round(late / packet.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                packet.stream = stream
                out.mux(packet)


def test_a_turned_video_is_upright(tmp_path: Path) -> None:
    plain_clip(tmp_path / "a.mp4", 3)
    remux(tmp_path / "a.mp4", tmp_path / "b.mp4")
    # The matrix of the track's header: a quarter clockwise, as of a telephone held upright.
    data = bytearray((tmp_path / "b.mp4").read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    one, minus = (1 << 16).to_bytes(4, "big"), (-(1 << 16)).to_bytes(4, "big", signed=True)
    zero = bytes(4)
    data[start : start + 20] = zero + one + zero + minus + zero
    (tmp_path / "b.mp4").write_bytes(data)
    video = VideoFile(tmp_path / "b.mp4")
    (first, *_) = list(video)
    assert (video.width, video.height) == (48, 64)
    assert first.image.shape == (64, 48, 3)
    # The bright upper half is on the right after a quarter turn clockwise.
    assert first.image[:, 30:, 1].mean() > 180 > 60 > first.image[:, :18, 1].mean()
    assert cv2.VideoCapture(str(tmp_path / "b.mp4")).read()[1].shape == (64, 48, 3)


def _error(path: Path) -> str:
    with pytest.raises(WrinkleError) as caught:
        VideoFile(path)
    (line,) = str(caught.value).splitlines()
    assert str(path) in line
    return line


def test_sound_noise_and_empty_files_are_one_line_each(tmp_path: Path) -> None:
    assert "sound but no pictures" in _error(sound(tmp_path / "a.m4a"))
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    assert "cannot be read as a video" in _error(tmp_path / "noise.mp4")
    (tmp_path / "empty.mkv").write_bytes(b"")
    assert "cannot be read as a video" in _error(tmp_path / "empty.mkv")


def test_a_file_without_its_index_is_one_line(tmp_path: Path) -> None:
    clip = plain_clip(tmp_path / "a.mp4")
    data = clip.read_bytes()
    clip.write_bytes(data[: data.index(b"moov") - 4])
    assert "cut short" in _error(clip)


def test_a_video_without_frames_is_one_line(tmp_path: Path) -> None:
    clip = plain_clip(tmp_path / "a.mp4")
    data = clip.read_bytes()
    clip.write_bytes(data[: data.index(b"mdat") + 4])
    assert "no frames" in _error(clip)


def test_an_unknown_codec_is_one_line(tmp_path: Path) -> None:
    clip = plain_clip(tmp_path / "a.mp4")
    clip.write_bytes(clip.read_bytes().replace(b"avc1", b"zzz9"))
    assert "decoder" in _error(clip)


def test_a_cut_video_gives_its_frames_and_a_fault(tmp_path: Path) -> None:
    clip = plain_clip(tmp_path / "a.mp4", 200)
    data = clip.read_bytes()
    clip.write_bytes(data[: (data.index(b"mdat") + len(data)) // 2])
    video = VideoFile(clip)
    count = len(list(video))
    assert 10 < count < 190
    assert video.fault is not None
    assert str(clip) in video.fault
    assert "200 frames" in video.fault or "damaged" in video.fault


def test_a_video_that_starts_late_is_not_cut(tmp_path: Path) -> None:
    plain_clip(tmp_path / "a.mp4", 50)
    remux(tmp_path / "a.mp4", tmp_path / "b.mkv", 5)
    video = VideoFile(tmp_path / "b.mkv")
    assert video.expected == pytest.approx(50, abs=2)
    frames = list(video)
    assert (len(frames), frames[0].time, video.fault) == (50, 0, None)


def test_a_missing_camera_is_one_line() -> None:
    """In a process of its own: what OpenCV prints must not reach standard error either."""
    code = "from wrinkle.serving.video.frames import Camera; Camera(77)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].startswith("wrinkle.errors.WrinkleError: no camera 77")
    assert "VIDEOIO" not in done.stderr


def test_a_camera_gives_frames_until_it_is_unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [np.full((4, 6, 3), (1, 2, 3), np.uint8)] * 4

    class Device:
        def __init__(self, number: int) -> None:
            assert number == 2

        def read(self) -> tuple[bool, np.ndarray | None]:
            return (True, left.pop()) if left else (False, None)

        def isOpened(self) -> bool:  # noqa: N802
            return True

        def get(self, what: int) -> float:
            return 30.0

        def release(self) -> None:
            left.clear()

    monkeypatch.setattr(cv2, "VideoCapture", Device)
    with closing(Camera(2)) as camera:
        frames = list(camera)
    assert (camera.width, camera.height, camera.rate, len(frames)) == (6, 4, 30, 3)
    assert frames[0].image[0, 0].tolist() == [3, 2, 1]
    assert 0 <= frames[0].time <= frames[-1].time
    assert camera.fault is not None
