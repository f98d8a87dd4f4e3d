"""Parts of a recipe that do not fit together are one line before a run's folder is made."""

from pathlib import Path

import pytest

from wrinkle.errors import WrinkleError
from wrinkle.runs.recipe import load_recipe
from wrinkle.training.folds import train
from wrinkle.training.network import try_out

PLUGIN = """
import torch
from torch import nn
from wrinkle.models.heads import HEADS, Head

@HEADS.named("wide")
class Wide(Head):
    "Expects more features than it is told."
    def __init__(self, in_features, ages, /):
        super().__init__(ages)
        self.fc = nn.Linear(in_features + 1, len(ages))
    def forward(self, features):
        return self.fc(features)
    def distribution(self, raw):
        return raw.softmax(-1)

@HEADS.named("short")
class Short(Head):
    "One age too few."
    def __init__(self, in_features, ages, /):
        super().__init__(ages)
        self.fc = nn.Linear(in_features, len(ages) - 1)
    def forward(self, features):
        return self.fc(features)
    def distribution(self, raw):
        return raw.softmax(-1)
    def age(self, raw):
        return raw[:, 0]

@HEADS.named("column")
class Column(Short):
    "Ages as a column, and a distribution of another sum."
    def __init__(self, in_features, ages, /, half: bool = False):
        Head.__init__(self, ages)
        self.half = half
        self.fc = nn.Linear(in_features, len(ages))
    def distribution(self, raw):
        return raw.softmax(-1) / (2 if self.half else 1)
    def age(self, raw):
        return raw[:, :1]

@HEADS.named("careless")
class Careless(Short):
    "Has no arguments."
    def __init__(self):
        raise AssertionError
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "misfits.py"
    path.write_text(PLUGIN)
    return path


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("wide", r"model tiny with head wide and loss l1 fails .*\(misfits.py, line 13\).*shapes"),
        ("short", r"head Short: for one face `distribution` is \(1, 100\).*\(1, 101\)"),
        ("column", r"head Column: for one face `age` is \(1, 1\)"),
        ("{name: column, half: true}", r"head Column: .* with sum 0\.5; .* sum 1"),
        ("careless", r"head careless and loss l1 fails.*TypeError"),
        ("stagewise", None),
        ("{name: stagewise, parts: [[4, 4], [4, 4], [4, 4]]}", r"24; the features have 8"),
    ],
)
def test_a_head_that_does_not_fit_is_one_line(
    plugin: Path, drawn_recipe: Path, tmp_path: Path, head: str, line: str | None
) -> None:
    overrides = [f"plugins=[{plugin}]", f"model.head={head}", "loss=[{name: l1}]"]
    recipe = load_recipe(drawn_recipe, overrides)
    if line is None:
        try_out(recipe)
        return
    with pytest.raises(WrinkleError, match=line) as caught:
        train(recipe, "1", tmp_path / "runs")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("content", ["import nothing_of_that_name", "def f(:", "1 / 0"])
def test_a_recipe_whose_plugin_fails_is_one_line(
    drawn_recipe: Path, tmp_path: Path, content: str
) -> None:
    (tmp_path / "bad.py").write_text(content)
    with pytest.raises(WrinkleError, match=r"bad\.py cannot be imported: \w+Error") as caught:
        load_recipe(drawn_recipe, [f"plugins=[{tmp_path}/bad.py]"])
    assert "\n" not in str(caught.value)
