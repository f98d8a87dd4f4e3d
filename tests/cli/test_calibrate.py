from pathlib import Path

import pyarrow as pa
import pytest

from tests.cli.conftest import Command
from wrinkle.datasets.store import Store, write_table
from wrinkle.files import read_tensors
from wrinkle.models.file import amend


@pytest.fixture
def sixty(example_store: Path, tmp_path: Path) -> Path:
    """The five examples twelve times, under other names."""
    table = pa.ipc.open_file(pa.memory_map(str(example_store))).read_all()
    many = pa.concat_tables([table] * 12)
    names = [f"{number}.jpg" for number in range(60)]
    many = many.set_column(0, many.schema.field("name"), pa.array(names))
    write_table(tmp_path / "sixty.arrow", many, {"format": 2, "size": 256, "dataset": "folder"})
    return tmp_path / "sixty.arrow"


def test_calibration_adds_intervals_and_changes_nothing_else(
    wrinkle: Command, small_model: Path, sixty: Path, tmp_path: Path
) -> None:
    out = tmp_path / "calibrated.safetensors"
    before = wrinkle("evaluate", small_model, sixty).out
    done = wrinkle("calibrate", small_model, sixty, out, "--split", "all")
    assert (done.code, done.err) == (0, [])
    assert done.out.startswith(f"{out}: calibrated on 60 faces (all faces of sixty.arrow)")
    after = wrinkle("evaluate", out, sixty).out
    assert "intervals contain" not in before
    first, second, *_ = after.splitlines()
    # Each of the five people is a fifth; both ends are at one of them, up to rounding.
    assert float(second.partition("contain ")[2].split()[0]) >= 60
    assert first == before.splitlines()[0]
    tensors, header = read_tensors(small_model, "model")
    again, amended = read_tensors(out, "model")
    assert amended.pop("calibration")["faces"] == 60
    assert {**header, "sha256": ""} == {**amended, "sha256": ""}
    assert all(tensors[name].equal(again[name]) for name in tensors)


def test_impossible_calibrations_are_one_line(
    wrinkle: Command, small_model: Path, example_store: Path, sixty: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.safetensors"
    trained = tmp_path / "trained.safetensors"
    split = {"data": "folder", "split": "random:4", "fold": "1"}
    amend(small_model, trained, provenance=split | {"fingerprint": Store(sixty).fingerprint})
    for model, store, part, message in (
        (
            small_model,
            example_store,
            "all",
            f"5 faces of {example_store} are too few to calibrate: give 50",
        ),
        (trained, sixty, "train", "was trained on 24 of these 24 faces"),
        (trained, sixty, "all", "was trained on 24 of these 60 faces"),
    ):
        done = wrinkle("calibrate", model, store, out, "--split", part)
        assert (done.code, len(done.err)) == (2, 1)
        assert message in done.err[0]
    same = tmp_path / "same.arrow"
    same.write_bytes(sixty.read_bytes())
    for further, message in (
        (same, "two of the stores hold the same faces"),
        (example_store, f"5 faces of {example_store} are too few to calibrate"),
    ):
        done = wrinkle("calibrate", small_model, sixty, out, "--split", "all", "--also", further)
        assert (done.code, len(done.err)) == (2, 1)
        assert message in done.err[0]
    done = wrinkle("calibrate", small_model, same, same, "--split", "all")
    assert (done.code, len(done.err)) == (2, 1)
    assert "exists and is not a model file" in done.err[0]
    assert same.read_bytes() == sixty.read_bytes()
    assert not out.exists()
    # Who evaluates is told the same.
    lines = wrinkle("evaluate", trained, sixty, "--split", "train").out.splitlines()
    assert "was trained on 24 of these 24 faces" in lines[0]
    assert "People in training and test: shared (some both train and test)." in lines
    assert "trained on" not in wrinkle("evaluate", trained, sixty, "--split", "test").out
