"""Videos: speed, flicker, identity switches, and how far the errors of frames are correlated.

    python -m benchmarks.video FGNET speed          frames a second at 1280×720 with two faces
    python -m benchmarks.video FGNET switches       crossings, with other trackers if installed
    python -m benchmarks.video FGNET correlation    errors of the frames of clips

FGNET is FG-NET's folder, with images/. Everything is composed of its photographs; see
`composed_clips.py`. Only `speed` writes and decodes a file.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from benchmarks.composed_clips import Actor, crossing, frames, load_actor, sway, write_clip

from wrinkle import AgeEstimator
from wrinkle.faces.detectors import Detection
from wrinkle.inference.conformal import moments
from wrinkle.serving.video import Frame, VideoEstimator, VideoFile
from wrinkle.serving.video.annotated import AnnotatedVideo
from wrinkle.serving.video.tracker import Tracker

Follow = Callable[[float, np.ndarray, list[Detection]], list[int]]
"""A tracker: time, picture, faces → the number of each face, −1 for none."""


def actors(folder: Path, estimator: AgeEstimator, seed: int = 0) -> Iterator[Actor]:
    """FG-NET's photographs in a random order, cut out."""
    paths = sorted((folder / "images").glob("*.[Jj][Pp][Gg]"))
    for index in np.random.default_rng(seed).permutation(len(paths)):
        actor = load_actor(paths[index], estimator.detector)
        if actor is not None and actor.age >= 3:
            yield actor


def measure_speed(folder: Path, estimator: AgeEstimator, count: int) -> None:
    """Decode, find, follow, estimate; then flicker against estimates of every searched frame."""
    cast = actors(folder, estimator)
    script = [
        (next(cast), sway(count, 400, 300, 140, 1)),
        (next(cast), sway(count, 850, 360, 180, 2)),
    ]
    with tempfile.TemporaryDirectory() as place:
        clip = Path(place) / "clip.mp4"
        write_clip(clip, frames(script))
        for drawn in (False, True):
            video, source = VideoEstimator(estimator), VideoFile(clip)
            writer = AnnotatedVideo(Path(place) / "out.mp4", 1280, 720, 25) if drawn else None
            wall, cpu = time.perf_counter(), time.process_time()
            shown: dict[int, list[float]] = {}
            for frame in video.stream(source):
                for face in frame.faces:
                    shown.setdefault(face.person, []).append(face.age)
                if writer is not None:
                    writer.write(frame)
            if writer is not None:
                writer.close()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            what = "with an annotated video" if drawn else "table only"
            print(
                f"{what}: {count / wall:.1f} frames a second, {1e3 * cpu / count:.1f} ms of "
                f"processor time a frame, {len(video.persons())} persons"
            )
        steady = np.mean([np.abs(np.diff(ages)).mean() for ages in shown.values()])
        single = flicker_of_single_frames(estimator, clip)
        print(f"flicker: {steady:.3f} years a frame, frame by frame {single:.3f}")


def flicker_of_single_frames(estimator: AgeEstimator, clip: Path, count: int = 40) -> float:
    """Mean absolute change between neighbouring frames when each frame is estimated alone."""
    ages: list[list[float]] = []
    for number, frame in enumerate(VideoFile(clip)):
        if number == count:
            break
        faces = sorted(estimator.find([frame.image])[0], key=lambda face: face.box[0])
        ages.append(estimator.estimate([(frame.image, face) for face in faces])[1].tolist())
    pairs = [np.abs(np.subtract(a, b)) for a, b in pairwise(ages) if len(a) == len(b)]
    return float(np.concatenate(pairs).mean())


def trackers() -> dict[str, Callable[[], Follow]]:
    """Ours, and those of other packages that are installed."""
    found: dict[str, Callable[[], Follow]] = {"ours": lambda: Tracker().update}
    try:
        import norfair
    except ImportError:
        pass
    else:
        found["norfair"] = lambda: _norfair(norfair)
    try:
        import supervision
        from trackers import ByteTrackTracker
    except ImportError:
        pass
    else:

        def byte_track() -> Follow:
            own = ByteTrackTracker(frame_rate=6.25, minimum_consecutive_frames=1)

            def follow(time: float, image: np.ndarray, faces: list[Detection]) -> list[int]:
                boxes = np.array([f.box for f in faces], np.float32).reshape(-1, 4)
                scores = np.array([f.score for f in faces], np.float32)
                given = supervision.Detections(
                    boxes, confidence=scores, class_id=np.zeros(len(faces), int)
                )
                done = own.update(given)
                where = {tuple(b): int(n) for b, n in zip(done.xyxy, done.tracker_id, strict=True)}
                return [where.get(tuple(b), -1) for b in boxes]

            return follow

        found["trackers (ByteTrack)"] = byte_track
    return found


def _norfair(norfair: object) -> Follow:
    own = norfair.Tracker("iou", 0.9, hit_counter_max=6, initialization_delay=0)  # type: ignore[attr-defined]

    def follow(time: float, image: np.ndarray, faces: list[Detection]) -> list[int]:
        given = [norfair.Detection(f.box.reshape(2, 2), np.full(2, f.score)) for f in faces]  # type: ignore[attr-defined]
        active = own.update(given)
        where = {id(o.last_detection): int(o.id) for o in active}
        return [where.get(id(each), -1) for each in given]

    return follow


def count_switches(folder: Path, estimator: AgeEstimator, clips: int) -> None:
    """Two persons who cross: changes of a person's number between searched frames."""
    cast, every = actors(folder, estimator), 4
    totals = {name: np.zeros(3, int) for name in trackers()}
    spent = dict.fromkeys(totals, 0.0)
    for clip in range(clips):
        script = crossing(75, [next(cast), next(cast)], side=110 + 20 * (clip % 4))
        followers = {name: make() for name, make in trackers().items()}
        known: dict[str, dict[int, int]] = {name: {} for name in totals}
        for number, image in enumerate(frames(script, seed=clip)):
            if number % every:
                continue
            faces = estimator.find([image])[0]
            who = [_nearest(face, [poses[number] for _, poses in script]) for face in faces]
            for name, follow in followers.items():
                began = time.process_time()
                numbers = follow(number / 25, image, faces)
                spent[name] += time.process_time() - began
                for person, own in zip(who, numbers, strict=True):
                    before = known[name].setdefault(person, own)
                    totals[name] += (before != own and own >= 0, own < 0, 1)
                    known[name][person] = own if own >= 0 else before
    for name, (switches, lost, faces) in totals.items():
        print(
            f"{name}: {switches} identity switches and {lost} faces without a number among "
            f"{faces:,} faces in {clips} crossings, {1e3 * spent[name] / faces:.2f} ms a face"
        )


def _nearest(face: Detection, poses: Sequence[object]) -> int:
    x, y = (face.box[:2] + face.box[2:]) / 2
    away = [np.hypot(pose.x - x, pose.y - y) for pose in poses]  # type: ignore[attr-defined]
    return int(np.argmin(away))


def measure_correlation(folder: Path, estimator: AgeEstimator, clips: int) -> None:
    """The share of an error's variance that all frames of a clip have in common."""
    errors, weighted, plain, single = [], [], [], []
    for clip, actor in zip(range(clips), actors(folder, estimator), strict=False):
        side = (60, 100, 160)[clip % 3]
        size = int(2.6 * side)
        poses = sway(150, size / 2, size / 2, side, clip)[::5]
        pictures = list(frames([(actor, poses)], size, size, clip))
        found = estimator.find(pictures)
        places = [(p, faces[0]) for p, faces in zip(pictures, found, strict=True) if faces]
        if len(places) < 2:
            continue
        distributions, ages = estimator.estimate(places)
        _, deviations = moments(distributions, estimator.ages)
        errors.append((ages - actor.age) / deviations)
        video = VideoEstimator(estimator)
        for _ in video.stream(Frame(p, 0.2 * k) for k, p in enumerate(pictures)):
            pass
        persons = video.persons()
        if persons:
            longest = max(persons, key=lambda person: person.frames)
            weighted.append(abs(longest.age - actor.age))
            plain.append(abs(ages.mean() - actor.age))
            single.append(np.abs(ages - actor.age).mean())
    rng = np.random.default_rng(0)
    drawn = [
        correlation([errors[k] for k in rng.integers(0, len(errors), len(errors))])
        for _ in range(500)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    print(f"correlation of the errors: {correlation(errors):.3f} (95 % {low:.3f}–{high:.3f})")
    print(
        f"MAE of {len(weighted)} clips: {np.mean(weighted):.2f} weighted, {np.mean(plain):.2f} by "
        f"the mean; of single frames {np.mean(single):.2f}"
    )


def correlation(groups: Sequence[np.ndarray]) -> float:
    """Intraclass correlation (one-way analysis of variance) of values in groups."""
    within = float(np.mean([group.var(ddof=1) for group in groups]))
    size = float(np.mean([len(group) for group in groups]))
    between = float(np.var([group.mean() for group in groups], ddof=1)) - within / size
    return between / (between + within)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fgnet", type=Path)
    parser.add_argument("what", choices=["speed", "switches", "correlation"])
    parser.add_argument("--count", type=int, help="frames, or clips")
    parser.add_argument("--model", default="default")
    args = parser.parse_args()
    estimator = AgeEstimator.load(args.model, "cpu")
    what, usual = {
        "speed": (measure_speed, 500),
        "switches": (count_switches, 20),
        "correlation": (measure_correlation, 110),
    }[args.what]
    what(args.fgnet, estimator, args.count or usual)


if __name__ == "__main__":
    main()
