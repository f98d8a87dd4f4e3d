"""Videos and cameras: frames → faces that are followed → one age per person.

`estimator.py` is the public API; `frames.py` reads, `tracker.py` follows, `evidence.py` combines
the estimates of a person's frames, `tables.py` and `annotated.py` write results.
"""

from wrinkle.serving.video.estimator import FrameFaces, SeenFace, VideoEstimator
from wrinkle.serving.video.evidence import Person
from wrinkle.serving.video.frames import Camera, Frame, VideoFile

__all__ = ["Camera", "Frame", "FrameFaces", "Person", "SeenFace", "VideoEstimator", "VideoFile"]
