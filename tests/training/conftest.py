from pathlib import Path

import pytest

from tests.training.tiny import write_recipe, write_store


@pytest.fixture(scope="session")
def drawn_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 256 drawn faces, 16 persons, ages 0–80."""
    return write_store(tmp_path_factory.mktemp("drawn") / "drawn.arrow")


@pytest.fixture
def drawn_recipe(tmp_path: Path, drawn_store: Path) -> Path:
    """A recipe that trains the tiny network on the drawn faces in a second."""
    return write_recipe(tmp_path, drawn_store)
