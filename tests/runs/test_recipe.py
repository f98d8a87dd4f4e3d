import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from wrinkle.errors import WrinkleError
from wrinkle.losses import LOSSES
from wrinkle.models import HEADS, create_model
from wrinkle.registry import Registry
from wrinkle.runs.overlays import choices, read_recipe
from wrinkle.runs.recipe import Recipe, flatten, load_recipe

ROOT = Path(__file__).parents[2]


def error_of(path: Path, *overrides: str) -> str:
    with pytest.raises(WrinkleError) as error:
        load_recipe(path, list(overrides))
    line = str(error.value)
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


@pytest.mark.slow
def test_every_choice_of_every_recipe_loads_under_a_name_of_its_own() -> None:
    names: list[str] = []
    for path in sorted((ROOT / "recipes").rglob("*.yaml")):
        offered = [
            [f"{kind}={name}" for name in found]
            for kind, found in choices(read_recipe(path)).items()
        ]
        offered[-1].append("training.workers=1")  # without a variant
        for chosen in itertools.product(*offered):
            recipe = load_recipe(path, list(chosen))
            assert recipe.name.startswith(f"{path.stem}/")
            names.append(recipe.name)
    assert len(names) > 100
    assert len({*names}) == len(names)


def test_overrides_are_yaml_and_change_nothing_else(drawn_recipe: Path) -> None:
    overrides = ["optimizer.lr=1e-3", "schedule={name: step, steps: [2]}", "training.ema=null"]
    changed, plain = load_recipe(drawn_recipe, overrides), load_recipe(drawn_recipe)
    differing = {k for k, v in changed.resolved().items() if v != plain.resolved()[k]}
    assert differing == {"optimizer.lr", "schedule.name", "schedule.steps", "training.ema"}
    assert changed.optimizer.lr == 0.001
    assert changed.schedule.steps == (2,)
    assert changed.training.ema is None


def test_a_written_recipe_is_read_back(drawn_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(drawn_recipe, ["model.max_age=90", "loss.dldl_v2.sigma=3"])
    assert recipe.model.fields == {"max_age": 90}
    assert [(t.name, t.weight, t.fields) for t in recipe.loss] == [("dldl_v2", 1, {"sigma": 3})]
    (tmp_path / "again.yaml").write_text(recipe.to_yaml())
    assert load_recipe(tmp_path / "again.yaml") == recipe


def test_the_name_is_the_path_below_recipes(drawn_recipe: Path, tmp_path: Path) -> None:
    assert load_recipe(drawn_recipe).name == "drawn"
    place = tmp_path / "recipes" / "mine" / "a.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(drawn_recipe.read_text())
    assert load_recipe(place).name == "mine/a"
    assert load_recipe(place, ["name=other"]).name == "other"


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "training.epoch=3",
            "unknown field training.epoch (did you mean epochs?); choices: epochs,",
        ),
        (
            "trainin.epochs=3",
            "unknown field trainin (did you mean training?); choices: name, plugins, model",
        ),
        ("augment.photometric.jpg=1", "unknown field augment.photometric.jpg (did you mean jpeg?)"),
        ("loss=[{name: mse}]", "unknown loss 'mse'; choices: bridge_net, corn"),
        ("loss.dldl_v2.sigm=3", "loss dldl_v2 has no field 'sigm' (did you mean 'sigma'?)"),
        ("loss.l1.weight=3", "override 'loss.l1.weight=3': no 'l1' there; choices: dldl_v2"),
        ("loss=dldl_v2", "loss is 'dldl_v2': input should be a valid list"),
        ("loss=[dldl_v2]", "loss.0 is 'dldl_v2': input should be a valid dictionary"),
        ("loss=[{name: ordinal}]", "loss ordinal trains heads of the kind ranks"),
        ("loss=[{name: dldl_v2, weight: 0}]", "loss dldl_v2 does not train the head"),
        ("loss.dldl_v2.weight=.inf", "loss.0.weight is inf: input should be a finite number"),
        ("model.head=5", "model tiny: head is 5: input should be a valid string"),
        ("model.input_size=32", "model.input_size is not used: set input.size"),
        ("name=../elsewhere", "name: '../elsewhere' is not a place below runs/"),
        ("plugins=mine.py", "plugins is 'mine.py': give a list of Python files"),
        ("plugins=[none.py]", "plug-in none.py: No such file"),
        ("model.head=mse", "unknown head 'mse'; choices: bridge_net, coral"),
        ("model.widht=3", "model tiny has no field 'widht'; choices: max_age, input_size"),
        ("optimizer.name=adam", "optimizer.name is 'adam'; choices: 'sgd' or 'adamw'"),
        ("training.epochs=none", "training.epochs is 'none': input should be a valid integer"),
        ("training.epochs=0", "training.epochs is 0: input should be greater than or equal to 1"),
        ("training.balance=2", "training.balance is 2: input should be less than or equal to 1"),
        ("optimizer.lr=.nan", "optimizer.lr is nan: input should be "),
        ("data=null", "data is None: input should be a valid dictionary"),
        ("schedule.name=step", "schedule: steps: list the epochs"),
        ("schedule.steps=[3]", "schedule: steps: list the epochs"),
        ("training", "override 'training': write section.field=value"),
        ("training.=3", "override 'training.=3': write section.field=value"),
        ("optimizer.lr.x=3", "override 'optimizer.lr.x=3': lr is a value, not a section"),
        ("optimizer.lr=[", "override 'optimizer.lr=[': the value is not YAML"),
    ],
)
def test_errors_name_field_value_and_choices(drawn_recipe: Path, override: str, line: str) -> None:
    assert error_of(drawn_recipe, override).startswith(line)


def test_unreadable_files_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    assert error_of(path) == "cannot read it: No such file or directory"
    path.write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in error_of(path)
    path.write_text("model: {name: x\ndata: [")
    assert error_of(path).startswith("not YAML in line 2: ")
    path.write_text("- a\n")
    assert "mapping" in error_of(path)
    path.write_text("model: {name: tiny}\noptimizer: {name: sgd, lr: 1}\ntraining: {epochs: 1}\n")
    assert error_of(path) == "field data is missing"


def test_inert_fields_exist(drawn_recipe: Path) -> None:
    assert set(Recipe.INERT) <= load_recipe(drawn_recipe).resolved().keys()


def test_flatten_joins_keys_with_dots() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": []}, "e": None}) == {"a.b.c": 1, "a.d": [], "e": None}
    assert yaml.safe_load("1e-3") == "1e-3"  # why numbers are read leniently


def test_the_page_about_rivals_has_every_variant_with_its_head_and_loss() -> None:
    page = (ROOT / "docs" / "rivals.md").read_text("utf-8")
    table = page.partition("## Methods")[2].partition("\n\nThe formulas")[0]
    rows = {}
    for line in table.splitlines()[4:]:
        variants, head, loss = (re.findall(r"`(\w+)`", cell) for cell in line.split("|")[1:4])
        for number, variant in enumerate(variants):
            rows[variant] = (*head, loss if len(variants) == 1 else [loss[number]])
    path = ROOT / "recipes" / "rivals.yaml"
    assert list(rows) == choices(read_recipe(path))["variant"]
    for variant, (head, loss) in rows.items():
        recipe = load_recipe(path, [f"variant={variant}"])
        own = recipe.model.fields["head"]
        assert (own["name"] if isinstance(own, dict) else own) == head
        assert [term.name for term in recipe.loss] == loss
        model = create_model(recipe.model.name, **recipe.model.fields)
        recipe.create_loss().check(model)


@pytest.mark.parametrize("registry", [HEADS, LOSSES], ids=lambda registry: registry.kind)
def test_the_page_about_training_has_every_head_and_loss(registry: Registry[Any]) -> None:
    page = (ROOT / "docs" / "training.md").read_text("utf-8")
    part = page.partition("## Heads and losses")[2].partition("## Stopping")[0]
    rows = [line.split("|")[1] for line in part.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    ours = {n for n in registry.names() if registry.get(n).__module__.startswith("wrinkle.")}
    assert ours <= listed


def test_a_head_and_its_loss_can_be_overridden_together() -> None:
    recipe = load_recipe(
        ROOT / "recipes" / "efficientnet_lite0.yaml", ["model.head=coral", "loss=[{name: ordinal}]"]
    )
    assert recipe.model.fields["head"] == "coral"
    assert [term.name for term in recipe.loss] == ["ordinal"]
