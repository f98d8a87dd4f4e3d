import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests import tiny
from tests.runs.hand_made import FOLDS, write_run
from wrinkle.datasets.store import FORMAT, write_table
from wrinkle.evaluation.uncertainty import estimates
from wrinkle.report.run_scores import RunScores, score_run
from wrinkle.runs.reader import read_run

ERRORS = np.array([4.0, 0, 10, 6, 2])


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces: picture k shows person k modulo 16."""
    return tiny.write_store(tmp_path_factory.mktemp("faces") / "faces.arrow", 64)


def scored(folder: Path) -> RunScores:
    return score_run(read_run(folder))[0]


def test_scores_by_hand(tmp_path: Path, faces: Path) -> None:
    found = scored(write_run(tmp_path, faces))
    assert found.mae.value == pytest.approx(22 / 5)
    assert found.mae_over_folds == pytest.approx((4, math.sqrt(8)))  # of 2 and 6
    assert found.cs5.value == pytest.approx(60)
    assert found.cs5_over_folds == pytest.approx((200 / 3, math.sqrt(2) * 100 / 3))  # 100 and 33.3
    assert found.epsilon is None
    assert found.drawn == "people"
    # Convolution 3·8·4·4, batch norm 2·8, classifier 8·101 + 101.
    assert found.parameters == 384 + 16 + 909


def test_intervals_are_those_of_the_bootstrap_over_people(tmp_path: Path, faces: Path) -> None:
    # Persons 0 and 1, each in three of the pictures.
    rows = [("0000.jpg", 0, 4), ("0016.jpg", 25, 15), ("0032.jpg", 50, 57)]
    rows += [("0001.jpg", 37, 37), ("0017.jpg", 62, 64), ("0033.jpg", 6, 7)]
    run = scored(write_run(tmp_path, faces, {"1": rows}))
    errors = np.array([4.0, 10, 7, 0, 2, 1])
    (expected,) = estimates(errors[:, None], None, ["p0"] * 3 + ["p1"] * 3)
    assert run.mae == pytest.approx(expected)
    assert (run.mae.low, run.mae.high) == (1, 7)  # either person twice
    assert run.mae_over_folds.deviation is None


@pytest.mark.parametrize("changed", ["gone", "other ages"])
def test_without_its_store_pictures_are_drawn(tmp_path: Path, faces: Path, changed: str) -> None:
    folds = FOLDS
    if changed == "other ages":
        folds = {"1": [("0000.jpg", 3, 7), ("0001.jpg", 37, 37)], "2": FOLDS["2"]}
    store = tmp_path / "gone.arrow" if changed == "gone" else faces
    run = scored(write_run(tmp_path, store, folds))
    assert run.drawn.startswith("pictures")
    assert str(store) in run.drawn
    assert run.mae.low <= run.mae.value <= run.mae.high
    assert 0 <= run.cs5.low <= run.cs5.value <= run.cs5.high <= 100
    if changed == "gone":
        (expected,) = estimates(ERRORS[:, None])
        assert run.mae == pytest.approx(expected)


def test_one_person_has_no_interval(tmp_path: Path, faces: Path) -> None:
    run = scored(write_run(tmp_path, faces, {"1": [("0000.jpg", 0, 4), ("0016.jpg", 25, 15)]}))
    assert run.mae.value == 7
    assert math.isnan(run.mae.low)
    assert math.isnan(run.cs5.high)


def test_a_picture_tested_by_several_folds_counts_once(tmp_path: Path) -> None:
    folds = {str(n): [("a", 20, 20 + n), ("b", 20, 20)] for n in (4, 5, 6)}
    run = scored(write_run(tmp_path, tmp_path / "gone", folds))
    assert (run.mae.value, run.mae.low, run.mae.high) == (2.5, 0, 5)


def test_apparent_ages_have_an_epsilon_error(tmp_path: Path, faces: Path) -> None:
    table = pa.ipc.open_file(pa.memory_map(str(faces))).read_all()
    place = table.schema.get_field_index("age_deviation")
    # The fifth has no deviation.
    deviations = pa.array([2.0, 3.0, 5.0, 6.0, None] + [1.0] * 59, pa.float32())
    table = table.set_column(place, table.schema.field(place), deviations)
    path = tmp_path / "voted.arrow"
    write_table(path, table, {"format": FORMAT, "size": tiny.SIDE, "dataset": "drawn"})
    run = scored(write_run(tmp_path, path, {**FOLDS, "3": [("0005.jpg", 23, 23)]}))
    assert run.epsilon is not None
    # |error| / deviation is 2, 0, 2, 1, and 0.
    expected = (2 * (1 - math.exp(-2)) + 1 - math.exp(-1 / 2)) / 5
    assert run.epsilon.value == pytest.approx(expected)
    assert 0 <= run.epsilon.low <= run.epsilon.value <= run.epsilon.high <= 1 - math.exp(-2)
