from pathlib import Path

import pytest
import yaml

from wrinkle.errors import WrinkleError
from wrinkle.runs.sweep import load_sweep, parse_seeds


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    content = {
        "model": {"name": "resnet18"},
        "data": {"store": "faces.arrow", "protocol": "random:5"},
        "optimizer": {"name": "adamw", "lr": 0.001},
        "training": {"epochs": 1, "batch": 4, "seed": 7},
        "variants": {
            "dldl": {"loss": [{"name": "dldl"}]},
            "coral": {"model": {"head": "coral"}, "loss": [{"name": "ordinal"}]},
        },
    }
    path = tmp_path / "some.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_every_variant_with_every_seed(recipe: Path) -> None:
    found = load_sweep(recipe, ["training.epochs=2"], "all", "0-1")
    assert [(r.name, r.training.seed, r.loss[0].name) for r in found] == [
        ("some-dldl-seed0", 0, "dldl"),
        ("some-coral-seed0", 0, "ordinal"),
        ("some-dldl-seed1", 1, "dldl"),
        ("some-coral-seed1", 1, "ordinal"),
    ]
    assert {r.training.epochs for r in found} == {2}


def test_some_variants_with_the_recipes_seed(recipe: Path) -> None:
    (found,) = load_sweep(recipe, variants="coral")
    assert (found.name, found.training.seed) == ("some-coral", 7)


def test_without_lists_it_is_the_recipe(recipe: Path) -> None:
    (found,) = load_sweep(recipe, ["variant=dldl", "name=mine"])
    assert found.name == "mine"


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-2", [0, 1, 2]), ("3", [3]), ("5,0-1,1", [0, 1, 5])]
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "2-0", "-1", "1-", "1;2", "0-99999999999"])
def test_wrong_seeds_are_one_line(text: str) -> None:
    with pytest.raises(WrinkleError, match="seeds"):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("overrides", "variants", "seeds", "line"),
    [
        ([], "coral,corl", None, r"no variant 'corl' \(did you mean coral\?\)"),
        (["variant=dldl"], "all", None, "not both"),
        (["training.seed=3"], None, "0-1", "not both"),
        (["name=mine"], "all", None, "one folder"),
    ],
)
def test_what_does_not_fit_is_one_line(
    recipe: Path, overrides: list[str], variants: str | None, seeds: str | None, line: str
) -> None:
    with pytest.raises(WrinkleError, match=line):
        load_sweep(recipe, overrides, variants, seeds)


def test_a_recipe_without_variants_is_one_line(recipe: Path) -> None:
    content = yaml.safe_load(recipe.read_text())
    del content["variants"]
    recipe.write_text(yaml.safe_dump(content))
    with pytest.raises(WrinkleError, match="has no variants"):
        load_sweep(recipe, variants="all")


@pytest.mark.parametrize("network", ["vgg16", "thin_age_net", "tiny_age_net", "c3ae", "ssr_net"])
def test_every_rival_takes_every_rivals_network(network: str) -> None:
    rivals = Path(__file__).resolve().parents[2] / "recipes" / "rivals.yaml"
    found = load_sweep(rivals, ["size=full", f"model.name={network}"], "all")
    assert len(found) == 20
    assert {recipe.model.name for recipe in found} == {network}
