"""The models that arrive with the package: what people get who bring nothing of their own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import EXAMPLES, KNOWN_AGES
from wrinkle import AgeEstimator, WrinkleError
from wrinkle.cli import main
from wrinkle.models import packaged
from wrinkle.models.packaged import model_file, packaged_models

needs_default = pytest.mark.skipif(
    "default" not in packaged_models(), reason="no default model in this checkout"
)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the package's own."""
    monkeypatch.setattr(packaged, "FOLDER", tmp_path)
    return tmp_path


def test_the_default_comes_first(weights: Path) -> None:
    assert packaged_models() == {}
    for name in ("small", "default", "an_older_one"):
        (weights / f"{name}.safetensors").touch()
    (weights / "card.md").touch()
    assert list(packaged_models()) == ["default", "an_older_one", "small"]
    assert model_file("default") == weights / "default.safetensors"


def test_a_file_may_stand_for_a_name(weights: Path, small_model: Path) -> None:
    assert model_file(small_model) == small_model
    assert model_file(str(small_model)) == small_model


def test_an_unknown_name_says_what_there_is(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match=r"no model 'best': .* one of: none"):
        model_file("best")
    (weights / "default.safetensors").touch()
    with pytest.raises(WrinkleError, match=r"no model 'best': .* one of: default"):
        model_file("best")


@needs_default
def test_default_is_small_enough() -> None:
    assert packaged_models()["default"].stat().st_size <= 25e6


@needs_default
def test_default_is_near_the_examples_ages() -> None:
    names = list(KNOWN_AGES)
    predictions = AgeEstimator.load(device="cpu").predict([EXAMPLES / name for name in names])
    errors = [abs(f[0].age - KNOWN_AGES[n]) for n, f in zip(names, predictions, strict=True)]
    assert np.mean(errors) <= 6
    for name, faces, error in zip(names, predictions, errors, strict=True):
        assert error <= 15, name
        low, high = faces[0].interval
        assert low < faces[0].age < high


@needs_default
def test_default_does_not_mind_how_a_picture_was_saved() -> None:
    """A model that sees the face, and not the file, moves little with size and mirror."""
    from wrinkle.faces.decode import decode

    estimator = AgeEstimator.load(device="cpu")
    for name in KNOWN_AGES:
        picture = decode(EXAMPLES / name)
        variants = [picture, picture[:, ::-1], picture[: picture.shape[0] * 9 // 10]]
        ages = [faces[0].age for faces in estimator.predict([np.array(v) for v in variants])]
        assert np.ptp(ages) < 4, (name, ages)


@needs_default
def test_default_says_where_it_comes_from() -> None:
    header = AgeEstimator.load(device="cpu").header
    provenance = header["provenance"]
    assert provenance["split"] == "utkface + fairface + by-person:10"
    assert provenance["pictures"]["train"] > 10_000
    errors = [years for name, years in provenance["scores"].items() if name.startswith("utkface")]
    assert errors
    assert all(3 < years < 5 for years in errors)
    assert "recipe" in provenance
    assert header["ages"] == list(range(len(header["ages"])))


@needs_default
def test_doctor_finds_the_models_intact(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "model default: intact" in lines
    assert "detector mtcnn: intact" in lines


@needs_default
def test_from_a_cold_start() -> None:
    command = [sys.executable, "-m", "wrinkle", "predict", "joe_biden_2010.jpg"]
    done = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    assert line.startswith("joe_biden_2010.jpg: ")
    assert " years (90 %: " in line
