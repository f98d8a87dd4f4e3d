"""`wrinkle ensemble`, and what the other commands do with its file."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.conftest import EXAMPLES, write_model

PORTRAIT = EXAMPLES / "grace_hopper_1984.jpg"


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    return [
        write_model(
            tmp_path / f"{zoom}.safetensors", "thin_age_net", {"input_size": 64}, zoom, seed
        )
        for seed, zoom in ((4, 1.0), (5, 0.8))
    ]


def test_an_ensemble_predicts_and_is_evaluated(
    wrinkle: Command, models: list[Path], example_store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "both.safetensors"
    done = wrinkle("ensemble", *models, "--out", out)
    assert (done.code, done.out) == (0, "")
    assert done.err == [
        f"wrote {out}: 2 networks, an input of 80 pixels at zoom 0.8; its intervals are not "
        "calibrated: `wrinkle calibrate`"
    ]
    found = [
        json.loads(wrinkle("predict", PORTRAIT, "--json", "--distribution", "--model", each).out)
        for each in (*models, out)
    ]
    one, two, both = (each["faces"][0]["distribution"] for each in found)
    # The view of zoom 1 is cut out of that of zoom 0.8, whose pixels are as large.
    assert both == pytest.approx([(a + b) / 2 for a, b in zip(one, two, strict=True)], abs=0.002)
    assert max(abs(a - b) for a, b in zip(one, two, strict=True)) > 0.01
    assert wrinkle("evaluate", out, example_store).code == 0
    assert wrinkle("models", out).code == wrinkle("models", out, "--cost").code == 0
    assert wrinkle("explain", PORTRAIT, "--model", out, "--out", tmp_path / "f.png").code == 0


def test_one_model_is_no_ensemble(wrinkle: Command, models: list[Path], tmp_path: Path) -> None:
    done = wrinkle("ensemble", models[0], "--out", tmp_path / "out")
    assert done.code == 2
    assert done.err == ["wrinkle: an ensemble needs at least two models"]


def test_other_files_and_equal_models_are_refused(
    wrinkle: Command, models: list[Path], tmp_path: Path
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("path,age\na.jpg,30\nb.jpg,40\nc.jpg,50\n")
    for arguments, words in (
        ((*models, "--out", labels), "labels.csv exists and is not a model file"),
        ((*models, "--out", models[0]), "is read here and would be overwritten"),
        ((models[0], models[0], "--out", tmp_path / "out"), "are the same file: name each once"),
    ):
        done = wrinkle("ensemble", *arguments)
        assert (done.code, len(done.err)) == (2, 1)
        assert words in done.err[0]
    assert labels.read_text().startswith("path,age")
