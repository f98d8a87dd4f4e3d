from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.curation.annotators.conftest import PORTRAITS, bad_crops
from wrinkle import AgeEstimator
from wrinkle.curation.annotators import ANNOTATORS, Crop
from wrinkle.errors import WrinkleError
from wrinkle.faces.align import crop_face, transform
from wrinkle.faces.decode import decode


def test_ages_are_those_of_the_photographs(crops: list[Crop]) -> None:
    annotator = ANNOTATORS.create("wrinkle", {"device": "cpu"})
    assert annotator.local
    estimator = AgeEstimator.load(device="cpu")
    faces = [found[0] for found in estimator.predict(PORTRAITS)]
    lossless = []
    for path, face in zip(PORTRAITS, faces, strict=True):
        crop, matrix = crop_face(decode(path), face.key_points, 256)
        png = cv2.imencode(".png", crop[..., ::-1])[1].tobytes()
        lossless.append(Crop(png, transform(matrix, face.key_points).astype(np.float32)))
    ages = [face.age for face in faces]
    # Other pixels within rounding, which bfloat16 rounds otherwise.
    assert [label.age for label in annotator.annotate(lossless)] == pytest.approx(ages, abs=0.2)
    # The stage's own crops differ by their JPEG compression only.
    assert [label.age for label in annotator.annotate(crops)] == pytest.approx(ages, abs=1.0)
    assert max(ages) - min(ages) > 10


def test_bad_crops_do_not_affect_others(small_model: Path, crops: list[Crop]) -> None:
    annotator = ANNOTATORS.create("wrinkle", {"model": str(small_model), "device": "cpu"})
    nan = Crop(crops[0].image, np.full((5, 2), np.nan, np.float32))
    infinite = Crop(crops[0].image, np.full((5, 2), np.inf, np.float32))
    labels = annotator.annotate([*bad_crops(crops), *crops, nan, *crops, infinite, *crops])
    alone = [annotator.annotate([crop])[0].age for crop in crops]
    given = [label.age for label in labels if label.age is not None]
    assert given == pytest.approx(alone * 3, abs=0.01)
    n = len(crops)
    reasons = [number for number, label in enumerate(labels) if label.age is None]
    assert reasons == [0, 1, 2 + n, 3 + 2 * n]
    assert all(labels[i].detail and "\n" not in labels[i].detail for i in reasons)
    assert sum(bool(label.detail) for label in labels) == len(reasons)
    assert annotator.annotate([]) == []


def test_the_face_is_at_the_key_points(small_model: Path, crops: list[Crop]) -> None:
    annotator = ANNOTATORS.create("wrinkle", {"model": str(small_model), "device": "cpu"})
    moved = [Crop(crop.image, crop.key_points * 0.5) for crop in crops]
    ages, others = (np.array([lb.age for lb in annotator.annotate(c)]) for c in (crops, moved))
    assert np.abs(ages - others).max() > 0.1


def test_an_unknown_model_is_one_line() -> None:
    with pytest.raises(WrinkleError, match="no model 'nonsense'"):
        ANNOTATORS.create("wrinkle", {"model": "nonsense"})
