from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Command
from tests.conftest import EXAMPLES, write_adpf
from wrinkle import errors

PORTRAIT = EXAMPLES / "joe_biden_2010.jpg"


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_figure_is_written(
    wrinkle: Command, small_model: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / "deep" / f"figure.{suffix}"
    done = wrinkle("explain", PORTRAIT, "--model", small_model, "--out", out)
    assert (done.code, done.out, done.err) == (0, f"{out}\n", [])
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert out.read_bytes().startswith(start)


def test_the_default_name_has_picture_and_model(
    wrinkle: Command, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert wrinkle("explain", PORTRAIT, "--model", small_model).out == "joe_biden_2010-small.png\n"
    assert (tmp_path / "joe_biden_2010-small.png").is_file()


def test_a_gallery_is_written(wrinkle: Command, example_store: Path, tmp_path: Path) -> None:
    model, out = write_adpf(tmp_path / "adpf.safetensors"), tmp_path / "gallery.png"
    done = wrinkle("explain", example_store, "--model", model, "--faces", "4", "--out", out)
    assert (done.code, done.out, done.err) == (0, f"{out}\n", [])
    width = Image.open(out).width
    assert width > 600
    other = write_adpf(tmp_path / "other.safetensors", form="pooling")
    command = ("explain", example_store, "--model", model, "--beside", other, "--faces", "4")
    assert wrinkle(*command, "--out", out).code == 0
    assert Image.open(out).width > 1.8 * width


def test_impossible_figures_are_one_line(
    wrinkle: Command, small_model: Path, tmp_path: Path
) -> None:
    blank = tmp_path / "blank.png"
    Image.new("RGB", (300, 300), "grey").save(blank)
    for arguments, line in (
        ((blank, "--model", small_model), f"{blank}: no face found: nothing to explain"),
        ((tmp_path / "none.jpg", "--model", small_model), f"{tmp_path / 'none.jpg'}: "),
        ((PORTRAIT, "--out", "a.gif"), "a.gif: a figure is a file of .png, .svg, .pdf"),
        ((PORTRAIT, "--model", "daah"), "no model 'daah'"),
        ((PORTRAIT, "--model", small_model, "--out", blank / "a.png"), "cannot write"),
        ((PORTRAIT, "--faces", "3"), "--faces is for a packed dataset"),
        ((PORTRAIT, "--beside", small_model), "--beside is for a packed dataset"),
        ((tmp_path / "none.arrow", "--model", small_model), "no store at"),
    ):
        done = wrinkle("explain", *arguments)
        assert done.code == 2
        assert len(done.err) == 1
        assert done.err[0].startswith(f"wrinkle: {line}")


def test_a_missing_extra_is_named(
    wrinkle: Command, small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "extras", lambda: {"figures": ["no-such-package"]})
    (line,) = wrinkle("explain", PORTRAIT, "--model", small_model).err
    assert "no-such-package is missing" in line
    assert ".[figures]" in line
