import re
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from wrinkle import __version__
from wrinkle.cli import doctor
from wrinkle.models import packaged

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(packaged, "FOLDER", tmp_path)
    return tmp_path


def test_a_whole_installation(wrinkle: Command, weights: Path, small_model: Path) -> None:
    (weights / "default.safetensors").write_bytes(small_model.read_bytes())
    done = wrinkle("doctor")
    assert done.code == 0
    assert done.err == []
    lines = done.out.splitlines()
    assert lines[0].startswith(f"wrinkle {__version__}, Python 3.")
    assert "model default: whole" in lines
    assert "detector mtcnn: whole" in lines
    assert any(line.startswith("device: ") for line in lines)


def test_a_damaged_model(wrinkle: Command, weights: Path, small_model: Path) -> None:
    content = bytearray(small_model.read_bytes())
    content[-100] ^= 4
    path = weights / "default.safetensors"
    path.write_bytes(content)
    done = wrinkle("doctor")
    assert done.code == 1
    assert f"model default: {path}: damaged: its checksum does not match" in done.out


def test_a_missing_model(wrinkle: Command, weights: Path) -> None:
    done = wrinkle("doctor")
    assert done.code == 1
    assert "model default: missing from the package: install wrinkle again" in done.out


def test_missing_extras_say_how_to_get_them(
    wrinkle: Command, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(doctor.EXTRAS, "heic", ("no-such-package",))
    assert "extra heic: missing: pip install 'wrinkle[heic]'" in wrinkle("doctor").out


def names(requirements: list[str]) -> set[str]:
    return {re.split("[<>=]", requirement)[0] for requirement in requirements}


def test_extras_are_those_of_the_project() -> None:
    declared = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    for extra, packages in doctor.EXTRAS.items():
        wanted = names(declared["optional-dependencies"][extra])
        assert set(packages) == wanted - names(declared["dependencies"])
    for_people = set(declared["optional-dependencies"]) - {"test", "check"}
    assert for_people == set(doctor.EXTRAS)
