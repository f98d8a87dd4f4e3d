import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.composed_clips import write_clip

from tests.serving.video.test_estimator import moving

PROGRAM = """
import sys
from contextlib import closing
from pathlib import Path
from wrinkle import AgeEstimator
from wrinkle.serving.video import VideoEstimator, VideoFile
from wrinkle.serving.video.annotated import AnnotatedVideo

clip, model, out = sys.argv[1:]
video, source = VideoEstimator(AgeEstimator.load(model, "cpu")), VideoFile(Path(clip))
with closing(AnnotatedVideo(Path(out), source.width, source.height, source.rate)) as drawn:
    for frame in video.stream(source):
        drawn.write(frame)
        if frame.number + 1 in (200, 4000):
            status = Path("/proc/self/status").read_text()
            print(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_flat(small_model: Path, tmp_path: Path) -> None:
    """After 4,000 frames at most 30 MiB more than after 200, of which each takes 0.2 MiB."""
    write_clip(tmp_path / "clip.mp4", (frame for _ in range(267) for frame in moving(15)))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "clip.mp4", small_model, tmp_path / "out.mp4"],
        capture_output=True,
        text=True,
        check=True,
    )
    early, late = map(float, done.stdout.split())
    assert late - early < 30, (early, late)
