import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wrinkle.datasets.store import Store, write_table
from wrinkle.errors import WrinkleError
from wrinkle.evaluation import calibrate_model, evaluate, write_predictions
from wrinkle.inference.conformal import Calibration
from wrinkle.models.file import amend, load_model
from wrinkle.protocols import get_protocol


@pytest.fixture(scope="module")
def sixty(example_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The five examples twelve times, under other names."""
    path = tmp_path_factory.mktemp("many") / "sixty.arrow"
    many = pa.concat_tables([pa.ipc.open_file(str(example_store)).read_all()] * 12)
    names = [f"{number}.jpg" for number in range(60)]
    many = many.set_column(0, many.schema.field("name"), pa.array(names))
    write_table(path, many, Store(example_store).info)
    return path


def test_a_model_is_evaluated_on_all_faces(small_model: Path, example_store: Path) -> None:
    found = evaluate(str(small_model), example_store, device="cpu", workers=0)
    predictions = found.predictions
    assert (found.people, found.trained_on, found.classifier) == (None, 0, "final")
    assert predictions.system == str(small_model)
    assert predictions.distribution is not None
    assert predictions.distribution.shape == (5, 101)
    assert predictions.ages is not None
    np.testing.assert_allclose(
        predictions.distribution @ predictions.ages, predictions.predicted, atol=1e-3
    )
    error = np.abs(predictions.predicted - predictions.actual)
    assert found.scores[0].mae.value == pytest.approx(error.mean())
    assert predictions.interval is None
    assert list(found.classifiers) == ["final"]


def test_every_classifier_is_scored(dhaa_model: Path, example_store: Path) -> None:
    found = evaluate(dhaa_model, Store(example_store), workers=0)
    assert list(found.classifiers)[:2] == ["DHAA", "G-1"]
    np.testing.assert_array_equal(found.classifiers["DHAA"], found.predictions.predicted)
    assert list(found.predictions.classifiers) == list(found.classifiers)[1:]


def test_the_part_is_that_of_the_models_own_fold(
    small_model: Path, sixty: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.safetensors"
    own = {"data": "folder", "split": "random:4", "fold": "2"}
    amend(small_model, model, provenance=own | {"fingerprint": Store(sixty).fingerprint})
    fold = get_protocol("random:4").folds(Store(sixty).columns)[1]
    tested = evaluate(model, sixty, split="test", workers=0)
    names = Store(sixty).columns["name"].take(fold.test).to_pylist()
    assert tested.predictions.rows["name"].to_pylist() == names
    assert tested.people == get_protocol("random:4").people
    assert tested.trained_on == 0
    assert evaluate(model, sixty, workers=0).trained_on == len(fold.train)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_predictions_of_other_systems_are_evaluated(
    sixty: Path, tmp_path: Path, suffix: str
) -> None:
    columns = Store(sixty).columns
    fold = get_protocol("random:4").folds(columns)[0]
    names = columns["name"].take([fold.test[1], fold.test[0]]).to_pylist()
    path = tmp_path / f"theirs{suffix}"
    if suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("name", "predicted"), (names[0], 30), (names[1], 40)])
    else:
        pq.write_table(pa.table({"name": names, "predicted": [30, 40]}), path)
    found = evaluate(path, sixty)
    assert found.predictions.predicted.tolist() == [40, 30]
    assert found.classifiers == {}
    tested = evaluate(path, sixty, split="test", protocol="random:4")
    assert tested.people == get_protocol("random:4").people
    assert len(tested.predictions.predicted) == 2
    with pytest.raises(WrinkleError, match="no picture of the train part"):
        evaluate(path, sixty, split="train", protocol="random:4")
    with pytest.raises(WrinkleError, match="protocol"):
        evaluate(path, sixty, split="test")


def test_a_calibrated_model_has_intervals(small_model: Path, sixty: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "calibrated.safetensors"
    calibration, width = calibrate_model(small_model, sixty, out, split="all", workers=0)
    assert (calibration.faces, calibration.data) == (60, "all faces of sixty.arrow")
    kept = Calibration.from_header(load_model(out)[1])
    assert kept is not None
    np.testing.assert_allclose(kept.residuals, calibration.residuals, atol=1e-5)
    predictions = evaluate(out, sixty, workers=0).predictions
    assert predictions.interval is not None
    assert np.diff(predictions.interval, axis=1).mean() == pytest.approx(width, abs=1e-3)
    write_predictions(tmp_path / "full.parquet", predictions)
    again = evaluate(tmp_path / "full.parquet", sixty)
    np.testing.assert_array_equal(again.predictions.interval, predictions.interval)


def test_impossible_calibrations_are_one_line(
    small_model: Path, example_store: Path, sixty: Path, tmp_path: Path
) -> None:
    out, trained = tmp_path / "out.safetensors", tmp_path / "trained.safetensors"
    own = {"data": "folder", "split": "random:4", "fold": "1"}
    amend(small_model, trained, provenance=own | {"fingerprint": Store(sixty).fingerprint})
    with pytest.raises(WrinkleError, match="trained on 24 of these 60 faces"):
        calibrate_model(trained, sixty, out, split="all", workers=0)
    with pytest.raises(WrinkleError, match="too few"):
        calibrate_model(small_model, example_store, out, split="all", workers=0)
    assert not out.exists()
