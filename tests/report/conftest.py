from pathlib import Path

import pytest

from tests.tiny import write_recipe
from wrinkle.runs.recipe import load_recipe
from wrinkle.training.folds import train


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, drawn_store: Path) -> Path:
    """Two runs of the tiny network: drawn/a with two of four folds done, drawn/b with one."""
    folder = tmp_path_factory.mktemp("report")
    recipe = write_recipe(folder, drawn_store)
    for name, folds, epochs in (("a", "1-2", 2), ("b", "1", 1)):
        overrides = [f"name=drawn/{name}", f"training.epochs={epochs}"]
        command = f"/usr/bin/wrinkle train drawn.yaml name=drawn/{name} --folds {folds}"
        train(load_recipe(recipe, overrides), folds, folder / "runs", command)
    return folder / "runs" / "drawn"
