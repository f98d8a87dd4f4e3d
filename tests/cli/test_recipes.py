from pathlib import Path

import pytest

from tests.cli.conftest import Command
from wrinkle.cli import recipes as verb
from wrinkle.runs.recipe import load_recipe

FOLDER = Path(__file__).resolve().parents[2] / "recipes"
NAMES = sorted(p.relative_to(FOLDER).with_suffix("").as_posix() for p in FOLDER.rglob("*.yaml"))


def test_every_recipe_is_listed_with_its_first_line_and_choices(wrinkle: Command) -> None:
    done = wrinkle("recipes")
    assert done.code == 0
    *lines, last = done.out.splitlines()[1:]
    assert "wrinkle datasets" in last
    listed = [line.split(": ", 1) for line in lines if not line.startswith(" ")]
    assert [name for name, _ in listed] == NAMES
    for name, first in listed:
        assert (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").startswith(f"# {first}")
    place = next(i for i, line in enumerate(lines) if line.startswith("adpf:"))
    assert lines[place + 1] == "  size= full small"
    assert lines[place + 2].startswith("  dataset= utkface fgnet_by_person fgnet_lopo morph2_")
    assert {"no_ranking", "predecessor"} <= set(lines[place + 3].split())


def test_the_data_that_each_recipe_needs_is_listed(wrinkle: Command) -> None:
    text = wrinkle("recipes").out
    dhaa = [line.strip() for line in text.partition("\ndhaa:")[2].splitlines()]
    assert "dataset=fgnet_lopo: fgnet.arrow (wrinkle prepare fgnet), fgnet-lopo" in dhaa
    assert "dataset=cacd: cacd.arrow (wrinkle prepare cacd), cacd-test-120" in dhaa
    assert "dataset=imdb_wiki: imdb_wiki.arrow (wrinkle prepare imdb_wiki), by-person:10" in dhaa
    (own,) = [line for line in dhaa if line.startswith("dataset=web_faceage:")]
    assert "web_faceage.arrow (wrinkle curate" in own
    three = [line.strip() for line in text.partition("\ndefault:")[2].splitlines()]
    (every,) = [line for line in three if line.startswith("dataset=all:")]
    assert every.count("wrinkle prepare") == 3


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_can_be_printed_and_read(wrinkle: Command, name: str) -> None:
    done = wrinkle("recipes", name)
    assert done.code == 0
    assert done.out == (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert load_recipe(verb.recipe_file(name)).name.startswith(f"{name}/")
    head = done.out.partition("\nmodel:")[0]
    assert "wrinkle train" in head
    assert "Source:" in head


def test_a_selection_prints_every_field(wrinkle: Command, tmp_path: Path) -> None:
    chosen = "dataset=fgnet_by_person", "size=small", "variant=heads_3", "training.epochs=2"
    done = wrinkle("recipes", "adpf", *chosen)
    assert (done.code, done.err) == (0, [])
    (tmp_path / "resolved.yaml").write_text(done.out)
    assert load_recipe(tmp_path / "resolved.yaml") == load_recipe(
        FOLDER / "adpf.yaml", list(chosen)
    )
    done = wrinkle("recipes", "adpf", "variant=heads_7")
    assert done.code == 2
    assert "did you mean heads_" in done.err[0]


@pytest.mark.parametrize("name", ["efficientnet_lite", "/", "..", "", "utkface/dhaa"])
def test_an_unknown_recipe_is_one_line(wrinkle: Command, name: str) -> None:
    done = wrinkle("recipes", name)
    assert done.code == 2
    (line,) = done.err
    assert line.startswith(f"wrinkle: no recipe {name!r}")
    assert line.endswith(": `wrinkle recipes` lists them")
    if name.endswith("lite"):
        assert "did you mean efficientnet_lite0?" in line
