import cv2
import numpy as np
import pytest

from tests.conftest import EXAMPLES
from wrinkle import AgeEstimator
from wrinkle.faces.align import TEMPLATE
from wrinkle.faces.decode import decode
from wrinkle.inference.conformal import calibrate
from wrinkle.serving.video.evidence import CORRELATION, Evidence, sharpness, turned, weight

AGES = np.arange(101.0)


def bell(age: float, deviation: float = 4.0) -> np.ndarray:
    p = np.exp(-0.5 * ((AGES - age) / deviation) ** 2)
    return p / p.sum()


def test_the_age_is_the_weighted_mean() -> None:
    evidence = Evidence(AGES, None)
    for age, counts in ((30.0, 1.0), (40.0, 0.5), (20.0, 0.25)):
        evidence.add(bell(age), age, counts, 100)
    assert evidence.age == pytest.approx((30 + 20 + 5) / 1.75)
    assert evidence.distribution @ AGES == pytest.approx(evidence.age, abs=0.01)
    assert evidence.independent == pytest.approx(1.75**2 / (1 + 0.25 + 0.0625))


def test_one_estimate_has_the_interval_of_a_single_face() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(10, 90, 400)
    known = np.stack([bell(age) for age in true + rng.normal(0, 5, 400)])
    for calibration in (None, calibrate(known, AGES, true, "drawn")):
        evidence = Evidence(AGES, calibration)
        evidence.add(bell(40), 40.0, 0.3, 200)
        low, high = evidence.interval()
        if calibration is None:
            assert (low, high) == pytest.approx((40 - 1.645 * 4, 40 + 1.645 * 4), abs=0.2)
        else:
            (single,) = calibration.interval(bell(40)[None], AGES, predicted=np.array([40.0]))
            assert (low, high) == pytest.approx(tuple(single))


def test_the_interval_shrinks_only_to_what_correlated_frames_allow() -> None:
    evidence, widths = Evidence(AGES, None), []
    for _ in range(200):
        evidence.add(bell(40), 40.0, 0.7, 200)
        low, high = evidence.interval()
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    assert widths[1] / widths[0] == pytest.approx(np.sqrt((1 + CORRELATION) / 2), abs=0.005)
    assert widths[-1] / widths[0] == pytest.approx(np.sqrt(CORRELATION), abs=0.005)


def test_frames_that_disagree_widen_the_distribution() -> None:
    evidence = Evidence(AGES, None)
    for age in (20.0, 60.0) * 10:
        evidence.add(bell(age), age, 1.0, 200)
    low, high = evidence.interval()
    assert low < 21
    assert high > 59


def test_small_faces_have_wider_intervals() -> None:
    widths = []
    for side in (200, 30, 15):
        evidence = Evidence(AGES, None)
        evidence.add(bell(40), 40.0, 1.0, side)
        widths.append(np.diff(evidence.interval())[0])
    assert widths[1] == pytest.approx(1.2 * widths[0], rel=0.01)
    assert widths[2] == pytest.approx(1.6 * widths[0], rel=0.01)


def test_weights_fall_with_blur_pose_and_size() -> None:
    full = weight(200, 400, 0)
    assert 0 < full <= 1
    assert weight(160, 400, 0) == full
    assert weight(60, 400, 0) / full == pytest.approx((60 / 160) ** 1.3)
    assert weight(200, 100, 0) == pytest.approx(0.5)
    assert weight(200, 0, 0) > 0
    assert weight(200, 400, 0.3) < weight(200, 400, 0.1) < full


def test_sharpness_falls_with_blur_and_hardly_with_size() -> None:
    image = decode(EXAMPLES / "grace_hopper_1984.jpg")
    box = np.array([176, 111, 355, 340], np.float32)
    sharp = sharpness(image, box)
    half = sharpness(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), box / 2)
    assert half == pytest.approx(sharp, rel=0.35)
    assert sharpness(cv2.GaussianBlur(image, None, 6), box) < 0.3 * sharp
    assert np.isfinite(sharpness(image, box + 5000))


def test_a_face_that_looks_aside_has_its_nose_aside() -> None:
    points = 100 * (TEMPLATE + 1)
    assert turned(points) == pytest.approx(0, abs=0.01)
    rotation = cv2.getRotationMatrix2D((0, 0), 30, 1.7)[:, :2]
    aside = points + np.array([[0, 0], [0, 0], [24, 0], [0, 0], [0, 0]])
    assert turned(aside) == pytest.approx(0.3, abs=0.05)
    assert turned(aside @ rotation.T) == pytest.approx(turned(aside), abs=0.001)


@pytest.mark.slow
def test_a_still_has_the_age_of_its_photograph(small_model: object) -> None:
    from wrinkle.serving.video import VideoEstimator

    estimator = AgeEstimator.load(str(small_model), "cpu")
    picture = decode(EXAMPLES / "grace_hopper_1984.jpg")
    ((face,),) = estimator.predict(picture)
    video = VideoEstimator(estimator)
    frames = list(video.stream([picture] * 12))
    (person,) = video.persons()
    assert person.age == pytest.approx(face.age, abs=0.01)
    assert person.frames == len(frames) == 12
    assert person.at_least(40) == pytest.approx(face.at_least(40), abs=0.1)
