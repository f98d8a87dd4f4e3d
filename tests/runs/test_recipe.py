from pathlib import Path

import pytest
import yaml

from wrinkle.errors import WrinkleError
from wrinkle.runs.recipe import Recipe, flatten, load_recipe

ROOT = Path(__file__).parents[2]


def error_of(path: Path, *overrides: str) -> str:
    with pytest.raises(WrinkleError) as error:
        load_recipe(path, list(overrides))
    line = str(error.value)
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


def test_every_recipe_of_the_repository_loads() -> None:
    paths = sorted((ROOT / "recipes").rglob("*.yaml"))
    assert len(paths) >= 4
    for path in paths:
        recipe = load_recipe(path)
        assert recipe.name == path.relative_to(ROOT / "recipes").with_suffix("").as_posix()
        head = path.read_text().partition("\nmodel:")[0]
        for word in ("ommand", "ost", "tart", "xpected"):
            assert word in head, f"{path}: its head comment does not state its c{word}"


def test_overrides_are_yaml_and_leave_the_rest(drawn_recipe: Path) -> None:
    overrides = ["optimizer.lr=1e-3", "schedule={name: step, steps: [2]}", "training.ema=null"]
    changed, plain = load_recipe(drawn_recipe, overrides), load_recipe(drawn_recipe)
    differing = {k for k, v in changed.resolved().items() if v != plain.resolved()[k]}
    assert differing == {"optimizer.lr", "schedule.name", "schedule.steps", "training.ema"}
    assert changed.optimizer.lr == 0.001
    assert changed.schedule.steps == (2,)
    assert changed.training.ema is None


def test_what_is_written_is_read_as_the_same(drawn_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(drawn_recipe, ["model.max_age=90", "loss.sigma=3"])
    assert recipe.model.fields == {"max_age": 90}
    assert recipe.loss.fields == {"sigma": 3}
    (tmp_path / "again.yaml").write_text(recipe.to_yaml())
    assert load_recipe(tmp_path / "again.yaml") == recipe


def test_the_name_is_the_place_below_recipes(drawn_recipe: Path, tmp_path: Path) -> None:
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
        ("loss=[{name: mse}]", "unknown loss 'mse'; choices: cross_entropy, diversity, dldl_v2"),
        ("loss.dldl_v2.sigm=3", "loss dldl_v2 has no field 'sigm' (did you mean 'sigma'?)"),
        ("loss.l1.weight=3", "override 'loss.l1.weight=3': no 'l1' there; choices: dldl_v2"),
        ("model.head=mse", "unknown head 'mse'; choices: coral, or_cnn"),
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


def test_errors_of_files(tmp_path: Path) -> None:
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


def test_flatten() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": []}, "e": None}) == {"a.b.c": 1, "a.d": [], "e": None}
    assert yaml.safe_load("1e-3") == "1e-3"  # why numbers are read leniently


def test_a_base_gives_what_is_not_said(tmp_path: Path, drawn_recipe: Path) -> None:
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
