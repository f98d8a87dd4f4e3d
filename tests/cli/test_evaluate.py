import csv
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.cli.conftest import Command
from tests.conftest import KNOWN_AGES
from wrinkle.datasets.store import write_table
from wrinkle.evaluation import read_predictions


@pytest.fixture
def predictions(wrinkle: Command, small_model: Path, example_store: Path, tmp_path: Path) -> Path:
    path = tmp_path / "predictions.csv"
    done = wrinkle("evaluate", small_model, example_store, "--predictions", path, "--batch", 2)
    assert done.code == 0
    return path


def read(path: Path) -> dict[str, tuple[float, float]]:
    with path.open(newline="") as file:
        return {
            Path(row["name"]).name: (float(row["age"]), float(row["predicted"]))
            for row in csv.DictReader(file)
        }


def test_scores_are_those_of_the_predictions(
    wrinkle: Command, small_model: Path, example_store: Path, predictions: Path
) -> None:
    rows = read(predictions)
    assert {name: age for name, (age, _) in rows.items()} == KNOWN_AGES
    assert b"\r" not in predictions.read_bytes()
    actual, predicted = np.array(list(rows.values())).T
    error = predicted - actual
    done = wrinkle("evaluate", small_model, example_store)
    assert done.code == 0
    assert done.err == []
    first, second, *table = done.out.splitlines()
    assert first.startswith(f"5 faces: MAE {np.abs(error).mean():.2f} years (95 %: ")
    assert f"CS(5) {100 * (np.abs(error) <= 5).mean():.1f} % (" in first
    assert f"bias {error.mean():+.2f} years (" in first
    epsilon = 1 - np.exp(-(error**2) / (2 * 2.5**2))
    assert second == f"5 of them with an age deviation: ε-error {epsilon.mean():.3f}"
    text = "\n".join(table)
    assert text.index("40–49") < text.index("50–59") < text.index("70–79")
    assert [line.split()[:2] for line in table if line.startswith(("  male", "  female"))] == [
        ["male", "3"],
        ["female", "2"],
    ]
    assert any(line.split()[:2] == ["official", "5"] for line in table)


def test_worker_processes_do_not_change_the_scores(
    wrinkle: Command, small_model: Path, example_store: Path, predictions: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.csv"
    options = "--workers", 2, "--batch", 1, "--device", "cpu", "--predictions", again
    assert wrinkle("evaluate", small_model, example_store, *options).code == 0
    for name, (_, predicted) in read(again).items():
        assert predicted == pytest.approx(read(predictions)[name][1], abs=2e-3)


def test_each_part_of_a_fold_has_its_own_scores(
    wrinkle: Command, small_model: Path, example_store: Path, predictions: Path, tmp_path: Path
) -> None:
    """The model's own protocol and fold by default: its parts together are all faces."""
    seen: dict[str, float] = {}
    path = tmp_path / "part.csv"
    for split in ("train", "validation", "test"):
        done = wrinkle(
            "evaluate", small_model, example_store, "--split", split, "--predictions", path
        )
        assert done.code == 0
        part = read(path)
        assert not seen.keys() & part.keys()
        seen |= part
    assert seen.keys() == KNOWN_AGES.keys()
    other = "--protocol", "random:5", "--fold", "5", "--split", "test"
    assert wrinkle("evaluate", small_model, example_store, *other).out.startswith("1 face: MAE")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--split", "test", "--fold", "9"], "no fold '9'; choices: 1, 2, 3, 4"),
        (["--split", "test", "--protocol", "luck"], "unknown protocol 'luck'"),
        (["--split", "test", "--protocol", "utkface"], "0 of the store's 5 names are"),
        (["--fold", "1"], "add --split test"),
        (["--device", "gpu"], "device 'gpu' is not available"),
        (["--predictions", "x.txt"], ".csv or .parquet"),
    ],
)
def test_impossible_evaluations_are_one_line(
    wrinkle: Command, small_model: Path, example_store: Path, options: list[str], expected: str
) -> None:
    done = wrinkle("evaluate", small_model, example_store, *options)
    assert done.code == 2
    (line,) = done.err
    assert expected in line


def test_files_that_are_not_stores_are_one_line(
    wrinkle: Command, small_model: Path, example_store: Path, tmp_path: Path
) -> None:
    whole, path = example_store.read_bytes(), tmp_path / "x.arrow"
    assert wrinkle("evaluate", small_model, path).err == [
        f"wrinkle: no store at {path}: make one with `wrinkle prepare`"
    ]
    for content in (b"", whole[:1000], whole[: len(whole) // 2], b"text\n" * 100):
        path.write_bytes(content)
        done = wrinkle("evaluate", small_model, path)
        assert done.code == 2
        (line,) = done.err
        assert re.search("x.arrow .*wrinkle prepare", line)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_row_is_one_line(
    wrinkle: Command, small_model: Path, example_store: Path, tmp_path: Path, workers: int
) -> None:
    table = pa.ipc.open_file(pa.memory_map(str(example_store))).read_all()
    images = table["image"].to_pylist()
    images[3] = b"no picture"
    table = table.set_column(1, table.schema.field("image"), pa.array(images, pa.binary()))
    path = tmp_path / "damaged.arrow"
    write_table(path, table, {"format": 2, "size": 256, "dataset": "folder"})
    done = wrinkle("evaluate", small_model, path, "--batch", 2, "--workers", workers)
    assert done.code == 2
    (line,) = done.err
    assert re.search("row 3 is damaged", line)


def test_every_classifier_is_scored(
    wrinkle: Command, dhaa_model: Path, small_model: Path, example_store: Path
) -> None:
    done = wrinkle("evaluate", dhaa_model, example_store, "--classifiers")
    assert done.code == 0
    first, table = done.out.split("\n", 1)[0], done.out.partition("classifier")[2].splitlines()[1:]
    rows = {line.split()[0]: line.split()[1:] for line in table}
    assert list(rows) == ["DHAA", *(f"{b}-{k}" for b in ("G", "L", "GL") for k in "123")]
    # The first is the model's own.
    assert f"MAE {rows['DHAA'][1]} years" in first
    assert f"bias {rows['DHAA'][2]} years" in first
    assert len({row[1] for row in rows.values()}) > 3
    done = wrinkle("evaluate", small_model, example_store, "--classifiers")
    assert done.out.rstrip().splitlines()[-1].split()[0] == "final"


def test_predictions_of_other_systems_are_compared_with_a_model(
    wrinkle: Command, small_model: Path, example_store: Path, predictions: Path, tmp_path: Path
) -> None:
    own = predictions.read_text().splitlines()
    theirs = tmp_path / "theirs.csv"
    lines = ["name,predicted,low,high"]
    for line in own[1:5]:  # one picture is missing
        name, age, _ = line.rsplit(",", 2)
        lines.append(f"{name},{float(age) + 1},{float(age) - 2},{float(age) + 3}")
    theirs.write_text("\n".join(lines) + "\n")
    alone = wrinkle("evaluate", theirs, example_store)
    assert alone.code == 0
    assert alone.out.startswith("4 faces: MAE 1.00 years (95 %: –)")
    assert "90 % intervals contain 100.0 % of the ages" in alone.out
    done = wrinkle("evaluate", small_model, theirs, example_store)
    assert done.code == 0
    *_, head, _, _, first, second = done.out.splitlines()
    assert head == f"4 faces that all systems have; differences to {small_model}"
    assert first.startswith(str(small_model))
    assert second.split()[:2] == ["theirs", "1.00"]
    part = wrinkle("evaluate", theirs, example_store, "--split", "test", "--protocol", "random:5:0")
    assert part.out.startswith("1 face: ") or part.err == [
        f"wrinkle: {theirs} holds no picture of the test part"
    ]


def test_bad_predictions_are_one_line(
    wrinkle: Command, small_model: Path, example_store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("name,predicted\nnobody.jpg,30\n")
    done = wrinkle("evaluate", small_model, path, example_store)
    assert (done.code, len(done.err)) == (2, 1)
    assert "line 2: the store has no picture 'nobody.jpg'" in done.err[0]
    path.write_text("name,predicted\n")
    done = wrinkle("evaluate", path, example_store)
    (line,) = done.err
    assert "no predictions" in line
    both = wrinkle("evaluate", path, path, example_store, "--predictions", tmp_path / "y.csv")
    (line,) = both.err
    assert "--predictions" in line


def test_predictions_are_written_in_full_into_a_new_folder(
    wrinkle: Command, dhaa_model: Path, example_store: Path, predictions: Path, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "full.parquet"
    shown = wrinkle("evaluate", dhaa_model, example_store, "--predictions", path)
    assert (shown.code, shown.err) == (0, [f"wrote {path}: 5 predictions"])
    full = read_predictions(path)
    assert full.distribution is not None
    assert full.distribution.shape == (5, 101)
    assert len(full.classifiers) == 9
    again = wrinkle("evaluate", path, example_store)
    assert again.out == shown.out
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    done = wrinkle("evaluate", predictions, example_store, "--predictions", folder)
    assert (done.code, len(done.err)) == (2, 1)
    assert f"cannot write {folder}" in done.err[0]


def test_challenge_prints_the_rates_of_every_age(
    wrinkle: Command, small_model: Path, example_store: Path
) -> None:
    done = wrinkle("evaluate", small_model, example_store, "--challenge")
    # The examples' people are 40 to 79 years old.
    assert (done.code, done.err) == (2, ["wrinkle: no face is 14 to 17 or 18 to 30 years old"])


def test_predictions_overwrite_no_input_and_no_other_file(
    wrinkle: Command, predictions: Path, example_store: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("path,age\na.jpg,30\n")
    before = predictions.read_bytes()
    upper = predictions.rename(tmp_path / "P.CSV")
    for out, words in (
        (upper, "would be overwritten"),
        (example_store, "would be overwritten"),
        (labels, "exists and is not a file of predictions"),
    ):
        done = wrinkle("evaluate", upper, example_store, "--predictions", out)
        assert (done.code, len(done.err)) == (2, 1)
        assert words in done.err[0]
    assert (upper.read_bytes(), labels.read_text()) == (before, "path,age\na.jpg,30\n")
    twice = wrinkle("evaluate", upper, upper, example_store)
    assert (twice.code, twice.err) == (2, ["wrinkle: a system is named twice: name each once"])
    again = tmp_path / "Q.PARQUET"
    done = wrinkle("evaluate", upper, example_store, "--predictions", again)
    assert (done.code, wrinkle("evaluate", again, example_store).code) == (0, 0)
