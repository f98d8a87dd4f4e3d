import shutil
from pathlib import Path

import numpy as np
import pytest

from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.metrics import mean_absolute_error
from wrinkle.report.sources import read_system, renamed


def test_only_finished_folds_are_read(runs: Path) -> None:
    system = read_system(runs / "a", None)
    run = system.run
    assert run is not None
    assert system.name == "drawn/a"
    assert [result.fold for result in run.results] == ["1", "2"]
    assert run.folds is not None
    assert len(run.folds) == 4
    assert len(system.predictions.predicted) == 128
    each = np.split(np.abs(system.predictions.predicted - system.predictions.actual), 2)
    assert [part.mean() for part in each] == pytest.approx([r.mae for r in run.results], rel=1e-12)
    assert system.predictions.interval is not None
    assert set(system.predictions.rows["person"].to_pylist()) <= {f"p{n}" for n in range(16)}
    assert [row["epoch"] for row in run.history["1"]] == [1, 2]
    assert run.command == "wrinkle train drawn.yaml name=drawn/a"
    assert system.header["provenance"]["fold"] == "1"


def test_a_run_without_its_store_is_read(runs: Path, tmp_path: Path, drawn_store: Path) -> None:
    shutil.copytree(runs / "a", tmp_path / "a")
    recipe = tmp_path / "a" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(str(drawn_store), "moved.arrow"))
    system, full = read_system(tmp_path / "a", None), read_system(runs / "a", None)
    assert system.run is not None
    assert system.run.store is None
    for one, other in ((system, full), (read_system(tmp_path / "a", drawn_store), full)):
        mae = [
            mean_absolute_error(s.predictions.predicted, s.predictions.actual) for s in (one, other)
        ]
        assert mae[0] == mae[1]


def test_predictions_of_other_systems_are_read(tmp_path: Path, drawn_store: Path) -> None:
    file = tmp_path / "theirs.csv"
    file.write_text("name,predicted\n0003.jpg,30\n0001.jpg,40\n")
    system = read_system(file, faces=Store(drawn_store))
    assert (system.name, system.run) == ("theirs", None)
    assert system.predictions.actual.tolist() == [37, 30]  # 1 · 37 and 3 · 37 modulo 81
    for content, message in (
        ("name,predicted\nnobody.jpg,3\n", "the store has no picture 'nobody.jpg'"),
        ("name,predicted\n0003.jpg,nan\n", "predicted is 'nan', not a number of years"),
    ):
        file.write_text(content)
        with pytest.raises(WrinkleError, match=message):
            read_system(file, faces=Store(drawn_store))
    with pytest.raises(WrinkleError, match=r"theirs\.csv needs a store"):
        read_system(file)


def test_unfinished_runs_and_other_folders_are_one_line(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match=r"holds no run"):
        read_system(tmp_path, None)
    going = tmp_path / "going"
    shutil.copytree(runs / "b", going)
    (going / "1" / "result.json").rename(going / "1" / "state.safetensors")
    with pytest.raises(WrinkleError, match=r"fold 1 has trained 1 of 1"):
        read_system(going, None)
    shutil.rmtree(going / "1")
    with pytest.raises(WrinkleError, match=r"nothing is trained"):
        read_system(going, None)


def test_the_common_start_of_names_is_removed(
    runs: Path, tmp_path: Path, drawn_store: Path
) -> None:
    file = tmp_path / "theirs.csv"
    file.write_text("name,predicted\n0003.jpg,30\n")
    both = [read_system(runs / name, None) for name in "ab"]
    theirs = read_system(file, faces=Store(drawn_store))
    assert [s.name for s in renamed([*both, theirs])] == ["a", "b", "theirs"]
    assert [s.name for s in renamed([both[0], theirs])] == ["drawn/a", "theirs"]


def test_equal_names_become_paths(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "a", tmp_path / "copy")
    twice = renamed([read_system(runs / "a"), read_system(tmp_path / "copy")])
    assert [s.name for s in twice] == [str(runs / "a"), str(tmp_path / "copy")]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("recipe.yaml", "data: ["),
        ("recipe.yaml", "nonsense: 3"),
        ("run.json", "{"),
        ("run.json", None),
        ("1/result.json", "{"),
        ("1/predictions.parquet", "text"),
        ("1/predictions.parquet", None),
        ("1/model.safetensors", None),
        ("1/model.safetensors", "text"),
    ],
)
def test_a_damaged_run_is_one_line(
    runs: Path, tmp_path: Path, file: str, content: str | None
) -> None:
    shutil.copytree(runs / "b", tmp_path / "b")
    if content is None:
        (tmp_path / "b" / file).unlink()
    else:
        (tmp_path / "b" / file).write_text(content)
    with pytest.raises(WrinkleError) as error:
        read_system(tmp_path / "b")
    assert "\n" not in str(error.value)
