import copy
import gc
import io
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import EXAMPLES, KNOWN_AGES, write_model
from wrinkle import AgeEstimator, Face, ImageError, WrinkleError
from wrinkle.datasets.store import Store
from wrinkle.faces.align import MIRRORED
from wrinkle.faces.decode import decode
from wrinkle.inference.conformal import Calibration
from wrinkle.inference.intervals import central_interval, probability_at_least
from wrinkle.inference.predict_store import predict_store
from wrinkle.models.file import amend
from wrinkle.serving import stream as serving
from wrinkle.serving.stream import MEMORY_PIXELS

PORTRAIT = EXAMPLES / "grace_hopper_1984.jpg"


def same(a: list[Face], b: list[Face], pixels: float = 1e-3, years: float = 1e-3) -> bool:
    """Equal but for the order of float32 sums, to which the random network is all too sensitive."""
    return len(a) == len(b) and all(
        np.abs(x.box - y.box).max() < pixels
        and np.abs(x.key_points - y.key_points).max() < pixels
        and abs(x.age - y.age) < years
        and np.abs(x.distribution - y.distribution).max() < 1e-4
        for x, y in zip(a, b, strict=True)
    )


# What comes in, what comes out


def test_a_face_is_what_it_says(estimator: AgeEstimator) -> None:
    ((face,),) = estimator.predict(PORTRAIT)
    assert face.box.shape == (4,)
    assert face.key_points.shape == (5, 2)
    assert face.box.dtype == face.key_points.dtype == face.distribution.dtype == np.float32
    x1, y1, x2, y2 = face.box
    assert 0 < x1 < x2 < 512
    assert 0 < y1 < y2 < 600
    assert (face.key_points > [x1, y1]).all()
    assert (face.key_points < [x2, y2]).all()
    assert 0 < face.score <= 1
    assert face.distribution.shape == (101,)
    assert face.distribution.sum() == pytest.approx(1, abs=1e-5)
    assert face.ages.tolist() == list(range(101))
    assert face.age == pytest.approx(face.distribution.astype(float) @ np.arange(101), abs=1e-5)
    low, high = face.interval
    assert 0 <= low < high <= 100
    assert all(isinstance(number, float) for number in (face.age, face.score, low, high))


def test_every_kind_of_source_gives_the_same_faces(estimator: AgeEstimator) -> None:
    pixels = decode(PORTRAIT)
    opened = Image.open(PORTRAIT)
    sources = [str(PORTRAIT), PORTRAIT, PORTRAIT.read_bytes(), opened, pixels]
    expected = estimator.predict(PORTRAIT)[0]
    for source in sources:
        (faces,) = estimator.predict(source)
        assert same(faces, expected), type(source)
    for faces in estimator.predict(sources):
        assert same(faces, expected)
    assert len(estimator.predict(tuple(sources))) == len(sources)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_copy_is_loaded_from_the_same_file_with_the_same_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied: Callable[[Any], Any]
) -> None:
    write_model(tmp_path / "m.safetensors", "resnet18", {"width": 4, "input_size": 64})
    monkeypatch.chdir(tmp_path)
    estimator = AgeEstimator.load("m.safetensors", "cpu", max_faces=3)
    monkeypatch.chdir("/")
    again = copied(estimator)
    assert again.max_faces == 3
    assert same(again.predict(PORTRAIT)[0], estimator.predict(PORTRAIT)[0])


def test_an_estimator_of_unknown_origin_is_not_copied(estimator: AgeEstimator) -> None:
    made = AgeEstimator(estimator.model, estimator.header, "cpu", "mtcnn")
    with pytest.raises(WrinkleError, match="cannot be copied or pickled"):
        pickle.dumps(made)


def test_nothing_in_nothing_out(estimator: AgeEstimator) -> None:
    assert estimator.predict([]) == []
    assert estimator.predict(np.full((240, 320, 3), 90, np.uint8)) == [[]]


def test_a_batch_of_mixed_sizes_equals_one_by_one(estimator: AgeEstimator) -> None:
    photographs = [decode(EXAMPLES / name) for name in KNOWN_AGES]
    wide = np.concatenate([photographs[3], photographs[3][:, ::-1]], 1)
    photographs += [
        np.ascontiguousarray(photographs[0][::2, ::2]),
        cv2.resize(photographs[1], None, fx=1.7, fy=1.7),
        np.zeros((50, 300, 3), np.uint8),
        wide,
    ]
    together = estimator.predict(photographs)
    assert len(together[-2]) == 0
    assert len(together[-1]) == 2
    for photograph, faces in zip(photographs, together, strict=True):
        assert same(estimator.predict(photograph)[0], faces)
    for batch in (1, 2, 5):
        again = estimator.predict(photographs, batch=batch)
        assert all(same(a, b) for a, b in zip(again, together, strict=True))


def test_the_random_network_tells_faces_apart(estimator: AgeEstimator) -> None:
    """Or else the comparisons here would compare nothing."""
    ages = [faces[0].age for faces in estimator.predict([EXAMPLES / n for n in KNOWN_AGES])]
    assert np.diff(np.sort(ages)).min() > 0.5


def test_the_example_in_the_docstring(
    estimator: AgeEstimator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(EXAMPLES)
    for face in estimator.predict("joe_biden_2010.jpg")[0]:
        print(f"{face.age:.0f} years, 90 % between {face.interval[0]:.0f} and ...")
    assert "years, 90 % between" in capsys.readouterr().out


# The same face by another way


def test_predict_equals_evaluating_the_packed_face(
    estimator: AgeEstimator, example_store: Path
) -> None:
    """Both ways share crop, view and warp, so only the crop's JPEG lies between them.

    For scale: a view 3 % closer moves the estimates several times as far.
    """
    store = Store(example_store)
    names = [Path(name).name for name in store.columns["name"].to_pylist()]
    assert sorted(names) == sorted(KNOWN_AGES)
    straight = [faces[0].age for faces in estimator.predict([EXAMPLES / name for name in names])]

    def packed(zoom: float) -> np.ndarray:
        spec = replace(estimator.spec, zoom=zoom)
        return predict_store(estimator.model, spec, store, np.arange(len(store))).age

    off = np.abs(packed(1.0) - straight)
    assert off.max() < 0.6
    assert off.mean() < np.abs(packed(1.03) - straight).mean() / 3


# A stream of pictures


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_groups_on_several_cores_give_the_same(estimator: AgeEstimator, count: int) -> None:
    pictures = [EXAMPLES / name for name in KNOWN_AGES] * 8
    expected = estimator.predict(pictures[: len(KNOWN_AGES)], batch=1) * 8
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        predictions = list(estimator.stream(pictures[:count]))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert [p.source for p in predictions] == pictures[:count]
    assert all(same(p.faces, f) for p, f in zip(predictions, expected, strict=False))


def test_only_detectors_that_allow_it_are_used_by_several_threads(
    estimator: AgeEstimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[threading.Thread] = []

    class Watched(Blank):
        def __call__(self, images: list[np.ndarray]) -> list[list[Any]]:
            used.append(threading.current_thread())
            return super().__call__(images)

    monkeypatch.setattr(estimator, "detector", Watched())
    monkeypatch.setattr("wrinkle.serving.estimator.cores", lambda: 2)
    blank = np.zeros((4, 4, 3), np.uint8)
    list(estimator.stream([blank] * 40))
    assert threading.main_thread() not in used
    used.clear()
    monkeypatch.setattr(Watched, "concurrent", False)
    list(estimator.stream([blank] * 40))
    assert set(used) == {threading.main_thread()}


def test_an_error_in_another_thread_comes_through(
    estimator: AgeEstimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Blank):
        def __call__(self, images: list[np.ndarray]) -> list[list[Any]]:
            raise LookupError("the detector is gone")

    monkeypatch.setattr(estimator, "detector", Broken())
    monkeypatch.setattr("wrinkle.serving.estimator.cores", lambda: 2)
    with pytest.raises(LookupError, match="detector"):
        list(estimator.stream([np.zeros((4, 4, 3), np.uint8)] * 40))


def test_bad_pictures_cost_only_themselves(estimator: AgeEstimator, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "short.jpg").write_bytes(PORTRAIT.read_bytes()[:20_000])
    bad: list[Any] = [*sorted(tmp_path.iterdir()), tmp_path, tmp_path / "none.jpg", b"", None, 7]
    bad.append(np.zeros((3, 8, 8, 3), np.uint8))
    mixed: list[Any] = []
    for number, source in enumerate(bad):
        mixed += [source, PORTRAIT] if number % 2 else [source]
    for batch in (1, 4, 32):
        predictions = list(estimator.stream(mixed, batch))
        assert [id(p.source) for p in predictions] == [id(source) for source in mixed]
        for prediction in predictions:
            if prediction.source is PORTRAIT:
                assert prediction.error is None
                assert len(prediction.faces) == 1
                assert prediction.image is not None
                assert prediction.image.shape == (600, 512, 3)
            else:
                assert prediction.error
                assert "\n" not in prediction.error
                assert prediction.faces == []
                assert prediction.image is None


def test_predict_raises_where_stream_goes_on(estimator: AgeEstimator, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.jpg: no such file"):
        estimator.predict([PORTRAIT, tmp_path / "none.jpg"])


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_of_nothing_is_refused(estimator: AgeEstimator, batch: int) -> None:
    with pytest.raises(WrinkleError, match="give 1 or more"):
        estimator.predict(PORTRAIT, batch=batch)


class Blank:
    """Stands for the detector: finds nothing, at once."""

    concurrent = True

    def __call__(self, images: list[np.ndarray]) -> list[list[Any]]:
        return [[] for _ in images]


@pytest.fixture(params=[1, 2, 5])
def cores(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def blind(estimator: AgeEstimator, monkeypatch: pytest.MonkeyPatch, cores: int) -> AgeEstimator:
    monkeypatch.setattr(estimator, "detector", Blank())
    return estimator


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_generators_are_read_as_needed(blind: AgeEstimator, batch: int) -> None:
    taken = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1
            yield np.full((4, 4, 3), taken % 256, np.uint8)

    stream = blind.stream(endless(), batch)
    for number, prediction in enumerate(stream, 1):
        assert isinstance(prediction.source, np.ndarray)
        assert prediction.source[0, 0, 0] == number % 256
        assert taken < number + 2 * batch
        if number == 50:
            break
    stream.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("ThreadPool")]


def test_with_a_batch_of_one_nothing_is_read_ahead(blind: AgeEstimator) -> None:
    """So that a conversation is possible: a picture, its ages, the next picture."""
    answered = [True]

    def asked() -> Iterator[np.ndarray]:
        for _ in range(5):
            assert answered.pop()
            yield np.zeros((4, 4, 3), np.uint8)

    for _ in blind.stream(asked(), batch=1):
        answered.append(True)
    assert answered == [True]


def test_what_the_generator_raises_comes_through(blind: AgeEstimator) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield np.zeros((4, 4, 3), np.uint8)
        raise LookupError("the camera is gone")

    with pytest.raises(LookupError, match="camera"):
        list(blind.stream(broken()))


@pytest.mark.parametrize("side", [20, 1000, 5000])
def test_memory_is_bounded_whatever_the_pictures_size(
    blind: AgeEstimator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, side: int
) -> None:
    """Small pictures, then large ones: what was learned from the small must not be relied on."""
    paths = [tmp_path / "small.png"] * 40 + [tmp_path / "large.png"] * 120
    Image.new("L", (20, 20)).save(tmp_path / "small.png")
    Image.new("1", (side, side)).save(tmp_path / "large.png")
    lock, alive = threading.Lock(), []
    pixels, most = {"small.png": 400, "large.png": side * side}, 0

    def watched(source: Path) -> np.ndarray:
        nonlocal most
        picture = np.zeros((2, 2, 3), np.uint8)  # stands for the large one, which takes long
        with lock:
            alive[:] = [(ref, size) for ref, size in alive if ref() is not None]
            alive.append((weakref.ref(picture), pixels[source.name]))
            most = max(most, sum(size for _, size in alive))
        return picture

    monkeypatch.setattr(serving, "decode", watched)
    count = 0
    for _ in blind.stream(paths, 32):
        count += 1
    assert count == len(paths)
    gc.collect()
    one_more = side * side
    assert most <= min(2 * (MEMORY_PIXELS + one_more), 66 * one_more)


def test_no_picture_outlives_its_batch(blind: AgeEstimator) -> None:
    references: list[weakref.ref[np.ndarray]] = []

    def pictures() -> Iterator[np.ndarray]:
        for _ in range(100):
            picture = np.zeros((4, 4, 3), np.uint8)
            references.append(weakref.ref(picture))
            yield picture
            del picture

    for _ in blind.stream(pictures(), batch=5):
        assert sum(ref() is not None for ref in references) <= 12


# The interval


def test_a_calibrated_model_gives_its_calibrations_figures(
    estimator: AgeEstimator, small_model: Path, tmp_path: Path
) -> None:
    calibration = Calibration(np.linspace(-0.4, 0.8, 101), 101, "made up")
    path = tmp_path / "calibrated.safetensors"
    amend(small_model, path, calibration=calibration.to_header())
    (before,), (after,) = (
        each.predict(PORTRAIT)[0] for each in (estimator, AgeEstimator.load(path))
    )
    assert after.age == before.age
    assert after.interval != before.interval
    low, high = calibration.interval(after.distribution[None], np.arange(101))[0]
    assert after.interval == pytest.approx((low, high))
    chance = after.at_least(40)
    expected = calibration.at_least(after.distribution[None], np.arange(101), 40)
    assert chance == pytest.approx(expected[0])
    # Not calibrated: of the distribution, an age a being [a − ½, a + ½).
    assert before.at_least(40) == pytest.approx(before.distribution[40:].sum(), abs=1e-5)
    assert before.at_least(0) == 1
    assert before.interval == central_interval(before.distribution, before.ages)


@pytest.mark.parametrize("calibrated", [False, True])
def test_ages_are_the_heads_own_and_intervals_follow_them(tmp_path: Path, calibrated: bool) -> None:
    """OR-CNN counts questions: its age is a whole year, the mean of its distribution is not."""
    path = write_model(
        tmp_path / "or_cnn.safetensors", "efficientnet_lite0", {"input_size": 64, "head": "or_cnn"}
    )
    calibration = Calibration(np.linspace(-2, 2, 101), 101, "made up")
    if calibrated:
        amend(path, path, calibration=calibration.to_header())
    estimator = AgeEstimator.load(path, device="cpu")
    ((face,),) = estimator.predict(PORTRAIT)
    p, ages = face.distribution.astype(float), face.ages
    assert p.sum() == pytest.approx(1, abs=1e-5)
    picture = decode(PORTRAIT)
    (detections,) = estimator.detector([picture])
    pixels, points = estimator.inputs([(picture, detections[0])])
    with torch.inference_mode():
        plain, mirrored = (
            estimator.model.predict(*each, mirror=False).age.item()
            for each in (
                (pixels, points),
                (pixels.flip(-1), points[:, MIRRORED] * torch.tensor([-1.0, 1.0])),
            )
        )
    assert plain == round(plain)
    assert face.age == pytest.approx((plain + mirrored) / 2)
    assert abs(face.age - p @ ages) > 1e-3
    if calibrated:
        own = np.array([face.age])
        expected = calibration.interval(p[None], ages, predicted=own)[0]
        assert face.interval == pytest.approx(tuple(expected), abs=1e-4)
        chance = calibration.at_least(p[None], ages, 40, own)[0]
    else:
        assert face.interval == pytest.approx(central_interval(p, ages), abs=1e-4)
        chance = probability_at_least(p, ages, 40)
    assert face.at_least(40) == pytest.approx(chance, abs=1e-5)


# Devices and files


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_a_gpu_gives_the_same_ages(estimator: AgeEstimator, small_model: Path) -> None:
    on_gpu = AgeEstimator.load(small_model, device="cuda")
    pictures = [EXAMPLES / name for name in KNOWN_AGES]
    for a, b in zip(on_gpu.predict(pictures), estimator.predict(pictures), strict=True):
        assert same(a, b, pixels=0.1, years=0.1) or len(a) == len(b)


def test_loading_what_is_not_there(small_model: Path, tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match="no model 'nobody'"):
        AgeEstimator.load("nobody")
    with pytest.raises(WrinkleError, match="no model"):
        AgeEstimator.load(tmp_path)
    with pytest.raises(WrinkleError, match="unknown detector 'haar'"):
        AgeEstimator.load(small_model, detector="haar")


def test_bytes_are_no_path(estimator: AgeEstimator) -> None:
    with pytest.raises(ImageError, match="not a picture"):
        estimator.predict(str(PORTRAIT).encode())


def test_a_picture_file_in_memory_keeps_its_orientation(estimator: AgeEstimator) -> None:
    turned = Image.open(PORTRAIT).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right
    file = io.BytesIO()
    turned.save(file, "PNG", exif=exif)
    ((face,),) = estimator.predict(file.getvalue())
    ((upright,),) = estimator.predict(PORTRAIT)
    assert same([face], [upright])


def test_further_faces_are_counted(small_model: Path) -> None:
    both = np.zeros((620, 960, 3), np.uint8)
    for name, x in (("grace_hopper_1984.jpg", 0), ("joe_biden_2010.jpg", 560)):
        picture = decode(EXAMPLES / name)[:620]
        both[: len(picture), x : x + picture.shape[1]] = picture
    (all_of_them,) = AgeEstimator.load(small_model, "cpu").stream(both)
    assert len(all_of_them.faces) >= 2
    assert all_of_them.left_out == 0
    for number in (0, -1, 1.5):
        with pytest.raises(WrinkleError, match="give a whole number of at least 1"):
            AgeEstimator.load(small_model, "cpu", max_faces=number)
    for choice in ({"largest": True}, {"max_faces": 1}):
        (first,) = AgeEstimator.load(small_model, "cpu", **choice).stream(both)  # type: ignore[arg-type]
        assert [face.box.tolist() for face in first.faces] == [all_of_them.faces[0].box.tolist()]
        assert first.left_out == len(all_of_them.faces) - 1
