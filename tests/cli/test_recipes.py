from pathlib import Path

import pytest

from tests.cli.conftest import Command
from wrinkle.cli import recipes as verb
from wrinkle.runs.recipe import load_recipe

FOLDER = Path(__file__).resolve().parents[2] / "recipes"
NAMES = sorted(p.relative_to(FOLDER).with_suffix("").as_posix() for p in FOLDER.rglob("*.yaml"))


def test_every_recipe_is_listed_with_its_first_line(wrinkle: Command) -> None:
    done = wrinkle("recipes")
    assert done.code == 0
    listed = [line.split(maxsplit=1) for line in done.out.splitlines()[1:]]
    assert [name for name, _ in listed] == NAMES
    for name, first in listed:
        assert (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").startswith(f"# {first}")


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_can_be_printed_and_read(wrinkle: Command, name: str) -> None:
    done = wrinkle("recipes", name)
    assert done.code == 0
    assert done.out == (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    recipe = load_recipe(verb.recipe_file(name))
    assert recipe.name == name
    head = done.out.partition("\nmodel:")[0]
    assert "wrinkle train" in head


@pytest.mark.parametrize("name", ["utkface/efficientnet_lite", "/", "..", "", "utkface"])
def test_an_unknown_recipe_is_one_line(wrinkle: Command, name: str) -> None:
    done = wrinkle("recipes", name)
    assert done.code == 2
    (line,) = done.err
    assert line.startswith(f"wrinkle: no recipe {name!r}")
    assert line.endswith(": `wrinkle recipes` lists them")
    if name.endswith("lite"):
        assert "did you mean utkface/efficientnet_lite0?" in line
