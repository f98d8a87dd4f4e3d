import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wrinkle import Face, Prediction
from wrinkle.inference.conformal import Calibration


@pytest.fixture
def face() -> Face:
    distribution = np.zeros(101, np.float32)
    distribution[[20, 40]] = 0.25, 0.75
    return Face(
        box=np.array([-0.01, 2.26, 30.5, 40], np.float32),
        score=0.98765,
        key_points=np.arange(10, dtype=np.float32).reshape(5, 2),
        age=35.0049,
        interval=(20.04, 40.06),
        distribution=distribution,
        ages=np.arange(101, dtype=np.float32),
        calibration=Calibration(np.linspace(-1, 1, 11), 50, "faces"),
    )


def test_a_face_as_a_dict(face: Face) -> None:
    face.calibration = None
    assert face.to_dict() == {
        "age": 35.0,
        "low": 20.0,
        "high": 40.1,
        "score": 0.9877,
        "box": [0.0, 2.3, 30.5, 40.0],
        "key_points": [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0], [8.0, 9.0]],
        "low_resolution": True,
    }
    more = face.to_dict(at_least=30, distribution=True)
    assert list(more) == [
        *("age", "low", "high", "at_least_30", "score", "box", "key_points"),
        *("low_resolution", "ages", "distribution"),
    ]
    assert more["at_least_30"] == 0.75
    assert more["ages"] == list(range(101))
    assert (more["distribution"][20], more["distribution"][40]) == (0.25, 0.75)
    assert json.loads(face.to_json(30, True)) == more


def test_several_thresholds_have_a_key_each(face: Face) -> None:
    found = face.to_dict(at_least=[30, 18.5, 41])
    assert [key for key in found if "at_least" in key] == [
        "at_least_30",
        "at_least_18.5",
        "at_least_41",
    ]
    for age in (30, 18.5, 41):
        assert found[f"at_least_{age:g}"] == pytest.approx(face.at_least(age), abs=5e-5)
    assert face.to_dict(at_least=[]) == face.to_dict()


def test_no_negative_zero_is_written(face: Face) -> None:
    assert "-0.0" not in face.to_json()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), np.float32("nan")])
def test_json_is_valid_for_any_number(face: Face, bad: Any) -> None:
    face.age, face.interval, face.score = bad, (bad, bad), bad
    face.box[1] = face.key_points[2, 0] = face.distribution[3] = bad
    text = Prediction("a.jpg", [face]).to_json(distribution=True)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    (found,) = json.loads(text, parse_constant=refuse)["faces"]
    assert found["age"] is found["low"] is found["score"] is found["box"][1] is None
    assert found["distribution"][3] is None


def test_a_prediction_as_a_dict(face: Face) -> None:
    picture = np.zeros((40, 30, 3), np.uint8)
    prediction = Prediction(Path("a/b.jpg"), [face], image=picture)
    assert (prediction.width, prediction.height) == (30, 40)
    assert prediction.to_dict() == {
        "path": "a/b.jpg",
        "width": 30,
        "height": 40,
        "rotation": 0,
        "faces": [face.to_dict()],
        "error": None,
    }
    assert json.loads(prediction.to_json()) == prediction.to_dict()
    prediction.image = None  # to save memory
    assert prediction.to_dict()["width"] == 30


def test_a_picture_that_cannot_be_read_as_a_dict() -> None:
    bad = Prediction("b.jpg", [], error="b.jpg: is empty")
    assert bad.to_dict() == {
        "path": "b.jpg",
        "width": None,
        "height": None,
        "rotation": 0,
        "faces": [],
        "error": "b.jpg: is empty",
    }


@pytest.mark.parametrize("source", [b"\xff\xd8", np.zeros((4, 4, 3), np.uint8)])
def test_a_source_that_is_no_path_has_none(source: Any) -> None:
    assert Prediction(source, []).to_dict()["path"] is None


def test_equality_compares_every_element(face: Face) -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    one = Prediction(picture, [face], image=picture)
    assert one == deepcopy(one)
    assert face == deepcopy(face)
    assert [face] == [deepcopy(face)]
    for field, value in [
        ("age", 36.0),
        ("box", face.box + 1),
        ("distribution", face.distribution[::-1]),
        ("distribution", face.distribution[:5]),
        ("calibration", None),
        ("calibration", Calibration(np.zeros(11), 50, "faces")),
    ]:
        assert replace(face, **{field: value}) != face, field
    assert one != replace(one, faces=[])
    assert one != replace(one, image=picture + 1)
    assert one != replace(one, source="a.jpg")
    assert face != one
    assert face != 3
