"""What an optional extra needs comes from the package's own metadata."""

import tomllib
from pathlib import Path

import pytest

from wrinkle import errors
from wrinkle.errors import WrinkleError, extras, require

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def test_extras_are_those_of_pyproject() -> None:
    declared = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    assert set(extras()) == set(declared)
    assert extras()["train"] == ["accelerate", "tensorboard"]


def test_a_missing_package_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "extras", lambda: {"some": ["pyyaml", "no-such-package"]})
    with pytest.raises(WrinkleError, match=r"no-such-package is missing.*\[some\]"):
        require("some")


def test_an_installed_extra_is_accepted() -> None:
    require("train")
