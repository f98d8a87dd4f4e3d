import cv2
import numpy as np
import pytest

from wrinkle.inference.resolution import FACTORS, SIDES, widening


def test_fewer_pixels_never_give_a_narrower_interval() -> None:
    factors = [widening(side) for side in np.linspace(0, 200, 401)]
    assert (np.diff(factors) <= 0).all()
    assert min(factors) == 1
    assert [widening(side) for side in SIDES] == pytest.approx(FACTORS)
    assert widening(5) == pytest.approx(2 * FACTORS[0])
    assert np.isfinite(widening(0))


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("side", [10, 12, 15, 18, 20, 25, 30, 40, 60, 100])
def test_intervals_of_small_faces_hold_their_ages(data_root, side: int) -> None:
    from wrinkle import AgeEstimator
    from wrinkle.faces.decode import decode
    from wrinkle.faces.detectors import Detection
    from wrinkle.protocols import utkface

    names = [name for name, part in utkface.parts().items() if part == "validation"]
    np.random.default_rng(0).shuffle(names)
    files = {path.name: path for path in (data_root / "utkface").rglob("*.jpg")}
    # The factors were measured on the first 500.
    paths = [files[name] for name in names[500::4] if name in files]
    estimator = AgeEstimator.load(device="cpu")
    images = [decode(path) for path in paths]
    actual, pictures, placed = [], [], []
    for path, image, found in zip(paths, images, estimator.detector(images), strict=True):
        if not found:
            continue
        size = [max(round(length * side / found[0].side), 1) for length in image.shape[1::-1]]
        scale = np.array(size, np.float32) / image.shape[1::-1]
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        box, points = found[0].box * np.tile(scale, 2), found[0].key_points * scale
        actual.append(int(path.name.split("_")[0]))
        pictures.append(small)
        placed.append([Detection(box, 1.0, points)])
    rest = iter(placed)
    estimator.detector = lambda images: [next(rest) for _ in images]
    intervals = [face.interval for (face,) in estimator.predict(pictures)]
    inside = [low <= age <= high for age, (low, high) in zip(actual, intervals, strict=True)]
    assert len(inside) > 300
    assert np.mean(inside) >= 0.88
