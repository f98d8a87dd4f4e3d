from pathlib import Path

import pytest
import yaml

from tests import tiny  # noqa: F401  (registers the model)
from wrinkle.errors import WrinkleError
from wrinkle.runs.overlays import choices, merged, read_recipe
from wrinkle.runs.recipe import load_recipe

CHOICES = """
model: {name: tiny, dropout: 0.1}
data: {store: a.arrow, protocol: utkface}
optimizer: {name: sgd, lr: 1.0, weight_decay: 0.1}
training: {epochs: 10, batch: 8}
sizes:
  full:
  small:
    training: {epochs: 2}
    optimizer: {lr: 0.5}
datasets:
  a:
  b:
    init: {dataset: a}
    data: {store: b.arrow, protocol: random:4}
    training: {batch: 16}
    sizes:
      small: {training: {epochs: 3}}
variants:
  drop:
    model: {dropout: 0.9}
  adam:
    optimizer: {name: adamw, lr: 0.1}
    sizes:
      small: {optimizer: {lr: 0.2}}
    datasets:
      b: {training: {epochs: 4}}
"""


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A recipe with two sizes, two datasets and two variants."""
    path = tmp_path / "recipes" / "system.yaml"
    path.parent.mkdir()
    path.write_text(CHOICES)
    return path


def error_of(path: Path, *overrides: str) -> str:
    with pytest.raises(WrinkleError) as error:
        load_recipe(path, list(overrides))
    line = str(error.value)
    assert "\n" not in line
    return line


def test_the_first_size_and_dataset_are_the_default(system: Path) -> None:
    recipe = load_recipe(system)
    assert recipe.name == "system/a-full"
    assert recipe == load_recipe(system, ["size=full", "dataset=a"])
    assert (recipe.training.epochs, recipe.training.batch, recipe.init) == (10, 8, "none")
    assert choices(read_recipe(system)) == {
        "size": ["full", "small"],
        "dataset": ["a", "b"],
        "variant": ["drop", "adam"],
    }


def test_later_overlays_win_over_earlier_ones(system: Path) -> None:
    def epochs_batch_rate(*chosen: str) -> tuple[int, int, float]:
        recipe = load_recipe(system, list(chosen))
        return recipe.training.epochs, recipe.training.batch, recipe.optimizer.lr

    assert epochs_batch_rate("size=small") == (2, 8, 0.5)
    assert epochs_batch_rate("dataset=b") == (10, 16, 1.0)
    assert epochs_batch_rate("dataset=b", "size=small") == (3, 16, 0.5)
    assert epochs_batch_rate("variant=adam") == (10, 8, 0.1)
    assert epochs_batch_rate("variant=adam", "size=small") == (2, 8, 0.2)
    assert epochs_batch_rate("size=small", "variant=adam", "dataset=b") == (4, 16, 0.2)
    assert epochs_batch_rate("size=full", "training.epochs=7", "size=small") == (7, 8, 0.5)


def test_a_section_of_another_name_is_replaced(system: Path) -> None:
    assert load_recipe(system, ["variant=drop"]).optimizer.weight_decay == 0.1
    assert load_recipe(system, ["variant=adam"]).optimizer.weight_decay == 0.0
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}) == {"a": {"b": 1, "c": 3}}
    assert merged({"a": {"b": 1}}, {"a": None}) == {"a": None}
    assert merged({"init": {"recipe": "x"}}, {"init": {"size": "y"}}) == {"init": {"size": "y"}}


def test_every_combination_has_a_name(system: Path) -> None:
    assert load_recipe(system, ["dataset=b", "size=small"]).name == "system/b-small"
    assert load_recipe(system, ["variant=drop"]).name == "system/a-full-drop"
    assert load_recipe(system, ["variant=drop", "name=mine"]).name == "mine"
    system.write_text(f"name: own{CHOICES}")
    assert load_recipe(system, ["variant=drop"]).name == "own/a-full-drop"


def test_a_resolved_recipe_is_read_as_the_same(system: Path, tmp_path: Path) -> None:
    recipe = load_recipe(system, ["dataset=b", "size=small", "variant=drop"])
    (tmp_path / "again.yaml").write_text(recipe.to_yaml())
    assert load_recipe(tmp_path / "again.yaml") == recipe
    assert "sizes" not in recipe.to_yaml()


def test_init_can_be_the_run_of_another_choice(system: Path) -> None:
    def start(*overrides: str) -> str:
        return load_recipe(system, ["dataset=b", *overrides]).init

    assert start() == "runs/system/a-full/utkface/model.safetensors"
    small = "runs/system/a-small-drop/utkface/model.safetensors"
    assert start("size=small", "variant=drop") == small
    assert start("init=x.pth") == "x.pth"
    assert start("init={dataset: a, variant: null}", "variant=drop") == start()
    assert start("init={dataset: a, variant: adam}").startswith("runs/system/a-full-adam/")
    # A run of several folds: each fold gets its own model of it.
    assert start("init={dataset: b, variant: adam}") == "runs/system/b-full-adam"


def test_teachers_can_be_runs_of_other_choices(system: Path) -> None:
    overrides = [
        "teachers=[{variant: null}, default, {variant: adam}]",
        "loss=[{name: dldl_v2}, {name: distillation}]",
    ]
    small = load_recipe(system, ["size=small", "variant=drop", *overrides])
    runs = [f"runs/system/a-small{name}/utkface/model.safetensors" for name in ("", "-adam")]
    assert small.teachers == (runs[0], "default", runs[1])


def test_init_can_be_the_run_of_another_recipe(system: Path, tmp_path: Path) -> None:
    (system.parent / "more").mkdir()
    other = system.parent / "more" / "other.yaml"
    other.write_text("base: ../system.yaml\ninit: {recipe: ../system.yaml}\nvariants: {drop: }")
    recipe = load_recipe(other, ["variant=drop", "size=small"])
    assert recipe.name == "more/other/a-small-drop"
    assert recipe.init == "runs/system/a-small/utkface/model.safetensors"  # its variants are others
    plain = tmp_path / "plain.yaml"
    plain.write_text("base: recipes/more/other.yaml\nsizes: {tall: }\ndatasets: {c: }\n")
    assert load_recipe(plain, ["size=small"]).init.startswith("runs/system/a-small/")
    assert "choices: full, small" in error_of(plain, "size=tall")
    plain.write_text(yaml.safe_dump({**load_recipe(system).model_dump(mode="json"), "name": ""}))
    other.write_text("base: ../system.yaml\ninit: {recipe: ../../plain.yaml}\n")
    assert load_recipe(other, ["size=small"]).init == "runs/plain/utkface/model.safetensors"


def test_a_first_stage_follows_the_choices(system: Path) -> None:
    second = system.parent / "second.yaml"
    second.write_text(
        "base: system.yaml\nfirst: system.yaml\nvariants:\n  none: {first: null}\n"
        "  drop: {first: {recipe: system.yaml, variant: drop}}\n  plain: {model: {dropout: 0}}\n"
    )

    def first(*overrides: str) -> str | None:
        recipe = load_recipe(second, list(overrides))
        return recipe.first and recipe.first.name

    assert first() == "system/a-full"
    assert first("size=small", "dataset=b") == "system/b-small"
    assert first("size=small", "variant=drop") == "system/a-small-drop"
    assert first("variant=plain") == "system/a-full"
    assert first("variant=plain", "first.variant=drop") == "system/a-full-drop"
    assert first("variant=none") is None
    assert "no variant 'dropp' (did you mean drop?)" in error_of(second, "first.variant=dropp")
    recipe = load_recipe(second, ["variant=drop"])
    resolved = system.parent / "resolved.yaml"
    resolved.write_text(recipe.to_yaml())
    assert load_recipe(resolved) == recipe
    changed = load_recipe(resolved, ["first.training.epochs=1"])
    assert changed.first is not None
    assert (changed.first.training.epochs, changed.training.epochs) == (1, 10)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("variant=dropp", "no variant 'dropp' (did you mean drop?); choices: drop, adam"),
        ("size=huge", "no size 'huge'; choices: full, small"),
        ("dataset=", "no dataset ''; choices: a, b"),
        ("init={recipe: none.yaml}", "none.yaml: cannot read it"),
        ("init={dataset: c}", "no dataset 'c'; choices: a, b"),
        ("init={recipe: 3}", "init is {'recipe': 3}"),
        ("init={file: x}", "init is {'file': 'x'}"),
        ("first={variant: null}", "a recipe cannot be its own first stage"),
    ],
)
def test_wrong_choices_are_one_line(system: Path, override: str, line: str) -> None:
    assert line in error_of(system, override)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sizes: [small]\n", "sizes: give a mapping of names to fields"),
        ("sizes: {3: {}}\n", "sizes: 3 is no name"),
        ("variants: {no-ranking: {}}\n", "variants: 'no-ranking' is no name"),
        ("sizes: {small: 3}\n", "sizes.small is 3: give fields"),
        ("variants: {x: {sizes: {tall: {}}}}\n", "variants.x.sizes.tall: no such size"),
        ("sizes: {x: {variants: {y: {}}}}\n", "unknown field variants"),
        ("sizes: {x: {modle: {}}}\n", "unknown field modle (did you mean model?)"),
        ("variant: x\n", "unknown field variant"),
    ],
)
def test_wrong_tables_are_one_line(drawn_recipe: Path, text: str, line: str) -> None:
    drawn_recipe.write_text(drawn_recipe.read_text() + text)
    assert line in error_of(drawn_recipe)


def test_a_recipe_without_choices_refuses_a_size(drawn_recipe: Path) -> None:
    assert "size is 'small', but this recipe has no sizes" in error_of(drawn_recipe, "size=small")


def test_a_base_gives_the_missing_fields(tmp_path: Path, drawn_recipe: Path) -> None:
    base = yaml.safe_load(drawn_recipe.read_text())
    (tmp_path / "more").mkdir()
    middle, top = tmp_path / "more" / "middle.yaml", tmp_path / "more" / "top.yaml"
    middle.write_text(f"name: own\nbase: ../{drawn_recipe.name}\naugment: {{rotation: 20}}\n")
    top.write_text("base: middle.yaml\nmodel: {max_age: 90}\noptimizer: {name: sgd, lr: 0.5}\n")
    recipe = load_recipe(top, ["training.seed=4"])
    assert recipe.name == "top"
    assert recipe.model.fields == {"max_age": 90}
    assert recipe.augment.rotation == 20
    assert recipe.augment.scale == base["augment"]["scale"]
    assert recipe.training.seed == 4
    assert recipe.training.epochs == base["training"]["epochs"]
    # Another optimizer, so nothing of the old one's fields.
    assert base["optimizer"]["weight_decay"] == 0.01
    assert recipe.optimizer.weight_decay == 0.0


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("base: mine.yaml\n", "a recipe cannot be its own base"),
        ("base: none.yaml\n", "none.yaml: cannot read it: No such file"),
        ("base: [a, b]\n", "base is ['a', 'b']: give the file of another recipe"),
    ],
)
def test_wrong_bases_are_one_line(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    assert line in error_of(tmp_path / "mine.yaml")
