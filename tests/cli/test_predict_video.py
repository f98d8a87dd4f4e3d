import csv
import io
import json
import signal
import time
from pathlib import Path

import av
import numpy as np
import pytest
from benchmarks.composed_clips import write_clip

from tests.cli.conftest import Command, start
from tests.conftest import EXAMPLES
from tests.serving.video.clips import plain, plain_clip, sound
from tests.serving.video.test_estimator import moving
from wrinkle.cli.predict_video import clock
from wrinkle.serving.video.estimator import FrameFaces
from wrinkle.serving.video.tables import FRAMES, PERSONS, FrameTable

PORTRAIT = EXAMPLES / "grace_hopper_1984.jpg"


@pytest.fixture
def predict(wrinkle: Command, small_model: Path) -> Command:
    return lambda *arguments: wrinkle("predict", "--model", small_model, *arguments)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    write_clip(path, moving(15))
    return path


def test_each_person_is_one_line(predict: Command, clip: Path) -> None:
    done = predict(clip)
    assert done.code == 0
    assert done.out.startswith(f"{clip}, person 1: ")
    assert done.out.endswith(" 0:00.0–0:00.6, in 15 frames\n")
    assert done.err == ["15 frames, 1 person"]


def test_csv_and_json_have_a_person_each(predict: Command, clip: Path, tmp_path: Path) -> None:
    empty = plain_clip(tmp_path / "empty.mp4", 6)
    done = predict("--csv", "--at-least", 18, clip, empty)
    one, nobody = csv.DictReader(io.StringIO(done.out))
    assert list(one) == [*PERSONS[:5], "at_least_18", *PERSONS[5:]]
    assert (one["path"], one["person"], one["frames"]) == (str(clip), "1", "15")
    assert float(one["low"]) < float(one["age"]) < float(one["high"])
    assert (nobody["path"], nobody["error"]) == (str(empty), "no person found")
    first, second = map(
        json.loads, predict("--json", "--distribution", clip, empty).out.splitlines()
    )
    assert (first["frames"], first["width"], first["height"]) == (15, 320, 200)
    (person,) = first["persons"]
    assert person["age"] == float(one["age"])
    assert sum(person["distribution"]) == pytest.approx(1, abs=1e-3)
    assert second["persons"] == []
    assert first["error"] is second["error"] is None


def test_frames_are_a_table(predict: Command, clip: Path, tmp_path: Path) -> None:
    assert predict(clip, "--frames", tmp_path / "frames.csv").code == 0
    rows = list(csv.DictReader((tmp_path / "frames.csv").open()))
    assert list(rows[0]) == FRAMES
    assert [int(row["frame"]) for row in rows] == list(range(15))
    assert {row["person"] for row in rows} == {"1"}
    assert predict(clip, "--frames", tmp_path / "frames.jsonl").code == 0
    lines = [json.loads(line) for line in (tmp_path / "frames.jsonl").open()]
    assert [line["frame"] for line in lines] == list(range(15))
    assert lines[3]["faces"][0]["box"][0] == float(rows[3]["x1"])
    assert np.shape(lines[3]["faces"][0]["key_points"]) == (5, 2)
    done = predict(clip, "--frames", tmp_path / "frames.xlsx")
    assert done.code == 2
    assert ".csv or .jsonl" in done.err[0]


def test_the_annotated_video_has_the_frames_and_times(
    predict: Command, clip: Path, tmp_path: Path
) -> None:
    assert predict(clip, "--annotate", tmp_path / "out").code == 0
    assert predict(clip, "--annotate", tmp_path / "out").err[-1].endswith("clip-2.mp4")
    frames = {}
    for name, path in (("before", clip), ("after", tmp_path / "out" / "clip.mp4")):
        with av.open(str(path)) as container:
            frames[name] = [
                (frame.time, frame.to_ndarray(format="rgb24").astype(int))
                for frame in container.decode(video=0)
            ]
    assert [t for t, _ in frames["after"]] == pytest.approx([t for t, _ in frames["before"]])
    for (_, before), (_, after) in zip(frames["before"], frames["after"], strict=True):
        yellow = (after[..., 0] - after[..., 2]) > 120
        assert yellow.sum() > 200
        assert np.abs(after - before)[~yellow].mean() < 8


def test_bad_videos_are_one_line_each_and_the_others_are_predicted(
    predict: Command, clip: Path, tmp_path: Path
) -> None:
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(bytes(range(256)) * 9)
    cut = tmp_path / "cut.mp4"
    write_clip(cut, plain(200))
    data = cut.read_bytes()
    cut.write_bytes(data[: (data.index(b"mdat") + len(data)) // 2])
    done = predict("--csv", noise, sound(tmp_path / "sound.m4a"), cut, clip)
    assert done.code == 1
    complaints = [line for line in done.err if line.startswith("wrinkle: ")]
    assert len(complaints) == 3
    for line, word in zip(complaints, ("cannot be read", "sound but no", "cut.mp4"), strict=True):
        assert word in line
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [bool(row["error"]) for row in rows] == [True, True, True, False]


def test_a_video_among_pictures_is_one_line_and_they_are_predicted(
    predict: Command, clip: Path
) -> None:
    done = predict(clip, PORTRAIT)
    assert done.code == 1
    assert done.out.startswith(f"{PORTRAIT}: ")
    assert done.err[0].startswith(f"wrinkle: {clip}: is a video, not a picture; name it alone")


def test_videos_pictures_and_cameras_do_not_mix(predict: Command, clip: Path) -> None:
    for arguments, words in (
        ((clip, "--camera", 0), "either"),
        ((PORTRAIT, "--frames", "a.csv"), "for videos"),
        ((), "nothing to predict"),
        (("--camera", 77), "no camera 77"),
    ):
        done = predict(*arguments)
        assert (done.code, done.out, len(done.err)) == (2, "", 1)
        assert words in done.err[0]


def test_clips_of_one_frame_and_of_one_pixel(predict: Command, clip: Path, tmp_path: Path) -> None:
    one, narrow = tmp_path / "one.mp4", tmp_path / "narrow.mov"
    write_clip(one, moving(1))
    assert predict(one).out.endswith(" in 1 frame\n")
    with av.open(str(narrow), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1, 40, "rgb24"
        picture = av.VideoFrame.from_ndarray(np.zeros((40, 1, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(picture))
        container.mux(stream.encode())
    assert predict(narrow).code == 0
    done = predict(narrow, "--annotate", tmp_path / "out")
    assert (done.code, len(done.err)) == (2, 1)
    assert "1×40 pixels are too small" in done.err[0]


@pytest.mark.slow
@pytest.mark.kills
def test_ctrl_c_keeps_what_is_done(small_model: Path, tmp_path: Path) -> None:
    clip, frames = tmp_path / "long.mp4", tmp_path / "frames.jsonl"
    write_clip(clip, (frame for _ in range(120) for frame in moving(15)))
    process = start(
        *("predict", clip, "--json", "--model", small_model),
        *("--frames", frames, "--annotate", tmp_path / "out"),
    )
    while not frames.exists() or frames.stat().st_size < 20_000:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "what was done is kept" in err.splitlines()[-1]
    assert "Traceback" not in err
    found = json.loads(out)
    lines = [json.loads(line) for line in frames.open()]
    assert 0 < found["frames"] < 1800
    assert len(found["persons"]) >= 1
    assert len(lines) == found["frames"]
    with av.open(str(tmp_path / "out" / "long.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == found["frames"]


def test_ctrl_c_while_a_frame_is_written_waits_for_all_files(
    predict: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, frames = tmp_path / "clip.mp4", tmp_path / "frames.jsonl"
    write_clip(clip, moving(40))
    real = FrameTable.write

    def write(self: FrameTable, video: str, frame: FrameFaces) -> None:
        real(self, video, frame)
        if frame.number == 9:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(FrameTable, "write", write)
    # Python ignores Ctrl-C where a shell started it in the background.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = predict(clip, "--frames", frames, "--annotate", tmp_path / "out")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (done.code, "10 frames" in done.err[0]) == (130, True)
    assert len(frames.read_text().splitlines()) == 10
    with av.open(str(tmp_path / "out" / "clip.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10


def test_the_clock_has_minutes_and_hours() -> None:
    assert [clock(s) for s in (0, 59.96, 125.44, 3725.4)] == [
        *("0:00.0", "1:00.0", "2:05.4", "1:02:05.4"),
    ]
