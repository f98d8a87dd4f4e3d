import hashlib
import math
from pathlib import Path
from typing import Any

import daft
import numpy as np
import pyarrow as pa
import pytest

from tests.curation.annotators.local_service import CROP, Service, reply
from wrinkle.curation.config import annotator_title
from wrinkle.curation.stages.coarse_label import answers_stage, ask_all, coarse_label
from wrinkle.curation.workspace import Workspace
from wrinkle.settings import NamedPart


def fill(root: Path, count: int) -> Workspace:
    """Faces of different bytes; the last one was dropped as a duplicate."""
    workspace = Workspace(root)
    images = [CROP.image + bytes([number]) for number in range(count)]
    points = [CROP.key_points.ravel().tolist()] * count
    faces = pa.table(
        {
            "face": [f"f{number}" for number in range(count)],
            "dropped": pa.nulls(count, pa.string()),
            "image": images,
            "digest": [hashlib.sha256(image).hexdigest() for image in images],
            "key_points": pa.array(points, pa.list_(pa.float32())),
        }
    )
    workspace.append("faces", daft.from_arrow(faces))
    dropped = [None] * (count - 1) + ["duplicate of f0"]
    table = pa.table({"face": faces["face"], "dropped": pa.array(dropped, pa.string())})
    workspace.append("deduplicate", daft.from_arrow(table))
    return workspace


def say(workspace: Workspace, annotator: NamedPart, ages: list[float | None]) -> None:
    """Answers of an annotator, as if it had been asked."""
    digests = workspace.table("faces").sort_by("face")["digest"].to_pylist()[: len(ages)]
    table = pa.table({"digest": digests, "age": pa.array(ages, pa.float64())})
    workspace.append(answers_stage(annotator), daft.from_arrow(table))


def test_mean_and_spread_of_the_answers(tmp_path: Path) -> None:
    workspace = fill(tmp_path, 5)
    one, two, three = (NamedPart(name="wrinkle", model=name) for name in "abc")
    say(workspace, one, [20.0, 30.0, None, None])
    say(workspace, two, [26.0, None, None, 7.5])
    coarse_label(workspace, [one, two, three], least=1)
    rows = {row["face"]: row for row in workspace.table("coarse_label").to_pylist()}
    assert set(rows) == {"f0", "f1", "f2", "f3"}
    assert (rows["f0"]["age"], rows["f0"]["spread"], rows["f0"]["answers"]) == (23.0, 3.0, 2)
    assert (rows["f1"]["age"], rows["f1"]["spread"], rows["f1"]["answers"]) == (30.0, None, 1)
    assert (rows["f2"]["age"], rows["f2"]["dropped"]) == (None, "no age seen")
    assert rows["f3"]["by"] == {"wrinkle:a": None, "wrinkle:b": 7.5, "wrinkle:c": None}
    assert rows["f0"]["dropped"] is None
    coarse_label(workspace, [one, two], least=2)
    dropped = workspace.table("coarse_label").sort_by("face")["dropped"].to_pylist()
    assert dropped == [None] + ["fewer than 2 answers"] * 3


def test_ranges_stay_ranges_if_every_annotator_gives_one(tmp_path: Path) -> None:
    workspace = fill(tmp_path, 5)
    one, two = (NamedPart(name="wrinkle", model=name) for name in "ab")
    say(workspace, one, [30.0])  # as earlier versions kept answers, without ranges
    digests = workspace.table("faces").sort_by("face")["digest"].to_pylist()
    for annotator, first, ages, ranges in (
        (one, 1, [24.5, 25.0, 40.0], [(20, 29), (20, 30), (38, 42)]),
        (two, 1, [26.0, 28.0], [(21, 31), None]),
    ):
        lows, highs = zip(*(each or (None, None) for each in ranges), strict=True)
        table = pa.table(
            {
                "digest": digests[first : first + len(ages)],
                "age": ages,
                "age_low": pa.array(lows, pa.float64()),
                "age_high": pa.array(highs, pa.float64()),
            }
        )
        workspace.append(answers_stage(annotator), daft.from_arrow(table))
    coarse_label(workspace, [one, two], least=1)
    table = workspace.table("coarse_label", "age", "age_low", "age_high", "face").sort_by("face")
    found = {row.pop("face"): tuple(row.values()) for row in table.to_pylist()}
    assert found == {
        "f0": (30.0, None, None),
        "f1": (25.25, 20.0, 30.0),  # 20.5 to 30.0, rounded outwards
        "f2": (26.5, None, None),  # only one of two gives a range
        "f3": (40.0, 38.0, 42.0),
    }


def test_means_equal_a_slow_computation(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    workspace = fill(tmp_path, 40)
    annotators = [NamedPart(name="wrinkle", model=name) for name in "abcd"]
    ages = random.uniform(0, 100, (4, 39))
    ages[random.random((4, 39)) < 0.4] = np.nan
    for annotator, column in zip(annotators, ages, strict=True):
        say(workspace, annotator, [None if math.isnan(age) else age for age in column.tolist()])
    coarse_label(workspace, annotators, least=1)
    rows = {row["face"]: row for row in workspace.table("coarse_label").to_pylist()}
    for place, face in enumerate(sorted(f"f{n}" for n in range(40))[:39]):
        said = [age for age in ages[:, place].tolist() if not math.isnan(age)]
        if face not in rows:
            assert face == "f39"
            continue
        row = rows[face]
        assert row["answers"] == len(said)
        if said:
            mean = sum(said) / len(said)
            assert row["age"] == pytest.approx(mean, abs=1e-9)
        if len(said) > 1:
            square = sum((age - mean) ** 2 for age in said) / len(said)
            assert row["spread"] == pytest.approx(math.sqrt(square), abs=1e-9)


def test_a_model_labels_each_face_once(tmp_path: Path, small_model: Path) -> None:
    workspace = fill(tmp_path, 4)
    annotator = NamedPart(name="wrinkle", model=str(small_model))
    assert annotator_title(annotator) == f"wrinkle:{small_model}"
    assert ask_all(workspace, [annotator]) == []
    answers = workspace.table(answers_stage(annotator))
    assert len(answers) == 3
    assert all(0 <= age <= 100 for age in answers["age"].to_pylist())
    assert ask_all(workspace, [annotator]) == []
    assert len(workspace.table(answers_stage(annotator))) == 3


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("FACEPP_API_KEY", "kEy-0123456789")
    monkeypatch.setenv("FACEPP_API_SECRET", "sEcReT+fedcba")
    return ["kEy-0123456789", "sEcReT+fedcba", "sEcReT%2Bfedcba"]


def found(age: int) -> dict[str, Any]:
    box = {"width": 140, "top": 50, "left": 60, "height": 141}
    return {"faces": [{"face_rectangle": box, "attributes": {"age": {"value": age}}}]}


def test_a_service_gets_one_request_for_each_face(
    tmp_path: Path, keys: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    workspace = fill(tmp_path, 6)
    with Service().running() as service:
        annotator = NamedPart(name="facepp", base=service.url, interval=0.0)
        wrong = reply({"error_message": "AUTHENTICATION_ERROR"}, 401)
        service.replies = [reply(found(21)), reply({"faces": []}), wrong]
        (problem,) = ask_all(workspace, [annotator])
        assert "facepp" in problem
        assert len(service.heard) == 3  # after a wrong key nothing more is asked
        assert len(workspace.table(answers_stage(annotator))) == 2
        service.replies = [reply(found(33))]
        assert ask_all(workspace, [annotator]) == []
        assert len(service.heard) == 6
        assert ask_all(workspace, [annotator]) == []
        assert len(service.heard) == 6
    workspace.discard("coarse_label")
    coarse_label(workspace, [annotator], least=1)
    ages = workspace.table("coarse_label")["age"].to_pylist()
    assert sorted(age or 0 for age in ages) == [0, 21, 33, 33, 33]
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    said = "".join(capfd.readouterr()).encode()
    raw = str(workspace.table(answers_stage(annotator))["raw"].to_pylist()).encode()
    assert b"face_rectangle" in raw
    for key in keys:
        assert key.encode() not in everything + said + raw + problem.encode()


def test_a_failing_service_gets_few_requests(
    tmp_path: Path, keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from wrinkle.curation.annotators import facepp

    monkeypatch.setattr(facepp, "BACK_OFF", (0.0,))
    workspace = fill(tmp_path, 20)
    with Service().running() as service:
        annotator = NamedPart(name="facepp", base=service.url, interval=0.0)
        service.replies = [reply({"error_message": "INTERNAL_ERROR"}, 500)]
        (problem,) = ask_all(workspace, [annotator])
        assert "facepp" in problem
        assert len(service.heard) == 2 * 5
        assert len(workspace.table(answers_stage(annotator))) == 0
