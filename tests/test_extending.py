"""The page "Extending", executed: a dataset, protocol, head, loss term and network in one file
outside the package are prepared, trained, evaluated, reported and predicted with."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import EXAMPLES, KNOWN_AGES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "extending.md"
PICTURES = 6
"""Of each example; a run needs a few of each part."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)


def wrinkle(folder: Path, *arguments: object) -> str:
    """Run a command in a process of its own, so that nothing is loaded before."""
    command = [sys.executable, "-m", "wrinkle", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plug-in, its recipe and an album, after `prepare` and `train`."""
    folder = tmp_path_factory.mktemp("extending")
    page = PAGE.read_text("utf-8").partition("## The recipe that uses them all")[0]
    code = "\n".join(block for block in blocks("python") if block in page)
    (folder / "my_method.py").write_text(code, "utf-8")
    (folder / "my_method.yaml").write_text(blocks("yaml")[0], "utf-8")
    album = folder / "album"
    album.mkdir()
    for name, age in KNOWN_AGES.items():
        picture = Image.open(EXAMPLES / name).convert("RGB")
        for number in range(PICTURES):
            # Other pixels each time, or they would be dropped as copies.
            pixels = np.asarray(picture).astype(int) + 4 * number
            copy = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            copy.save(album / f"{name[:5]}{number}_{age:g}.jpg")
    (album / "nobody.jpg").write_bytes(b"")
    out = wrinkle(folder, "prepare", "album", album, "album.arrow", "--plugin", "my_method.py")
    assert "no age in its name" in out
    wrinkle(folder, "train", "my_method.yaml")
    return folder


@pytest.mark.slow
def test_every_command_finds_the_plugin_again(folder: Path) -> None:
    model = folder / "runs/my_method/only/model.safetensors"
    (folder / "my_method.py").unlink()  # the run has a copy
    assert "MAE" in wrinkle(folder, "evaluate", model, "album.arrow", "--split", "test")
    assert "my_method" in wrinkle(folder, "table", "runs/my_method")
    predicted = wrinkle(folder, "predict", EXAMPLES / "joe_biden_2010.jpg", "--model", model)
    assert "years" in predicted
    pytest.importorskip("jinja2")
    wrinkle(folder, "report", "runs/my_method", "--out", "report")
    assert "gaussian" in (folder / "report" / "report.html").read_text("utf-8")


def test_a_moved_model_without_its_plugin_is_one_line(folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "moved.safetensors"
    model.write_bytes((folder / "runs/my_method/only/model.safetensors").read_bytes())
    command = [sys.executable, "-m", "wrinkle", "predict", str(EXAMPLES), "--model", str(model)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert re.fullmatch(r"wrinkle: .*moved\.safetensors: .*plug-in my_method\.py.*\n", done.stderr)
    (tmp_path / "my_method.py").write_bytes(
        (folder / "runs/my_method/plugins/my_method.py").read_bytes()
    )
    assert subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.slow
def test_fields_of_plugins_are_checked_when_the_recipe_is_loaded(folder: Path) -> None:
    command = [sys.executable, "-m", "wrinkle", "train", "runs/my_method/recipe.yaml"]
    for override, line in (
        ("model.head.small=2", "head gaussian has no field 'small'"),
        ("model.depth=2", "model shallow has no field 'depth'"),
        ("loss=[{name: dldl_v2}]", "trains heads of the kind distribution"),
    ):
        done = subprocess.run(
            [*command, override, "name=other"], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 2
        assert line in done.stderr
        assert done.stderr.count("\n") == 1
