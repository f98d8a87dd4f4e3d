from pathlib import Path

import pytest

from tests.cli.conftest import Command
from wrinkle import __version__, errors
from wrinkle.cli import doctor
from wrinkle.models import packaged


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(packaged, "FOLDER", tmp_path)
    return tmp_path


def test_an_intact_installation_is_reported(
    wrinkle: Command, weights: Path, small_model: Path
) -> None:
    (weights / "default.safetensors").write_bytes(small_model.read_bytes())
    done = wrinkle("doctor")
    assert done.code == 0
    assert done.err == []
    lines = done.out.splitlines()
    assert lines[0].startswith(f"wrinkle {__version__}, Python 3.")
    assert "model default: intact" in lines
    assert "detector mtcnn: intact" in lines
    assert any(line.startswith("device: ") for line in lines)


def test_a_damaged_model_is_reported(wrinkle: Command, weights: Path, small_model: Path) -> None:
    content = bytearray(small_model.read_bytes())
    content[-100] ^= 4
    path = weights / "default.safetensors"
    path.write_bytes(content)
    done = wrinkle("doctor")
    assert done.code == 1
    assert f"model default: {path}: damaged: its checksum does not match" in done.out


def test_a_missing_model_is_reported(wrinkle: Command, weights: Path) -> None:
    done = wrinkle("doctor")
    assert done.code == 1
    assert "model default: missing from the package: install wrinkle again" in done.out


def test_missing_extras_are_listed_with_their_install_command(
    wrinkle: Command, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = {"heic": ["no-such-package"], "train": ["pytest"], "check": ["no-such-package"]}
    monkeypatch.setattr(errors, "extras", lambda: declared)
    monkeypatch.setattr(doctor, "extras", lambda: declared)
    lines = wrinkle("doctor").out.splitlines()
    (line,) = (line for line in lines if line.startswith("extra heic"))
    assert "missing: pip install '.[heic]' in " in line
    assert "extra train: installed" in lines
    assert not any(line.startswith("extra check") for line in lines)
