"""`wrinkle export`, and what the other commands do with its files."""

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.conftest import EXAMPLES, write_model
from tests.tiny import write_recipe

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

PORTRAIT = EXAMPLES / "grace_hopper_1984.jpg"


def numbers(text: str) -> list[float]:
    """All numbers of a text; figures are rounded to a tenth at least."""
    return [float(each) for each in re.findall(r"\d+(?:\.\d+)?", text)]


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    return write_model(path, "thin_age_net", {"input_size": 64}, seed=4)


def test_an_exported_model_predicts_and_is_evaluated_as_the_model_file(
    wrinkle: Command, tiny_model: Path, example_store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tiny.onnx"
    done = wrinkle("export", tiny_model, out)
    assert (done.code, done.out) == (0, "")
    assert done.err[-1].startswith(f"wrote {out}: float32, ")
    for command in (
        lambda model: ("predict", EXAMPLES, "--json", "--model", model),
        lambda model: ("evaluate", model, example_store),
    ):
        ours, theirs = wrinkle(*command(tiny_model)), wrinkle(*command(out))
        assert theirs.code == ours.code == 0
        assert numbers(theirs.out) == pytest.approx(numbers(ours.out), abs=0.11)
        assert len(numbers(ours.out)) > 20
    assert "validation_mae: 4.56" in wrinkle("models", out).out
    figure = tmp_path / "figure.png"
    assert wrinkle("explain", PORTRAIT, "--model", out, "--out", figure).code == 0
    assert figure.is_file()
    recipe = write_recipe(tmp_path, example_store)
    for refused, words in (
        (("calibrate", out, example_store, tmp_path / "new.onnx"), "exported"),
        (("bench", out), "exported"),
        (("export", out, tmp_path / "new.onnx"), "exported"),
        (("models", out, "--cost"), "exported"),
        (("train", recipe, f"init={out}"), "exported"),
        (("explain", example_store, "--model", out, "--out", figure), "model file"),
        (("table", out), "cannot read"),
    ):
        failed = wrinkle(*refused)
        assert failed.code == 2
        assert words in failed.err[-1]


def test_int8_and_its_faces_belong_together(
    wrinkle: Command, tiny_model: Path, example_store: Path, tmp_path: Path
) -> None:
    for options in (("--precision", "int8"), ("--calibrate", example_store)):
        done = wrinkle("export", tiny_model, tmp_path / "tiny.onnx", *options)
        assert done.code == 2
        assert "--calibrate" in done.err[-1]
    out = tmp_path / "int8.onnx"
    done = wrinkle("export", tiny_model, out, "--precision", "int8", "--calibrate", example_store)
    assert done.code == 0
    assert out.stat().st_size < 0.7 * tiny_model.stat().st_size  # which is in float16
    assert wrinkle("predict", PORTRAIT, "--model", out).code == 0


def test_a_damaged_file_is_one_line(wrinkle: Command, example_store: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no graph")
    for command in (("predict", PORTRAIT, "--model", path), ("evaluate", path, example_store)):
        done = wrinkle(*command)
        assert done.code == 2
        assert len(done.err) == 1
    assert wrinkle("export", "default", tmp_path / "model.pt").code == 2


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    wrinkle: Command, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "file").touch()
    for out, words in (
        (tmp_path / "folder.onnx", "is a folder"),
        (tmp_path / "file" / "a.onnx", "cannot write"),
        ("/proc/a.onnx", "cannot write"),
    ):
        done = wrinkle("export", tiny_model, out)
        assert (done.code, len(done.err)) == (2, 1)
        assert words in done.err[0]


def test_bench_compares_engines(
    wrinkle: Command, tiny_model: Path, example_store: Path, tmp_path: Path
) -> None:
    done = wrinkle(
        "bench", tiny_model, "--batch", 1, 2, "--faces", example_store, "--pictures", PORTRAIT
    )
    assert done.code == 0, done.err
    head, *lines = done.out.strip().splitlines()[1:]
    for column in ("ms at 1", "ms at 2", "photographs/s", "mean change", "largest", "MAE"):
        assert column in head
    assert any("PyTorch" in line and "float32" in line for line in lines)
    exact = next(line for line in lines if "ONNX Runtime" in line and "float32" in line)
    assert float(exact.split()[-2]) <= 0.01
    assert lines[-1].startswith("fastest for batches of 2: ")
    failed = wrinkle("bench", tiny_model, "--pictures", tmp_path / "none.jpg")
    assert (failed.code, len(failed.err)) == (2, 1)
    assert "none.jpg: no such file" in failed.err[0]
