"""Parts of a recipe that do not fit together are one line before a run's folder is made."""

from pathlib import Path

import pytest

from wrinkle.errors import WrinkleError
from wrinkle.models.heads import HEADS
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

@HEADS.named("bare")
class Bare(Column):
    "Does not say what its output means."
    distribution = Head.distribution
    def age(self, raw):
        return raw[:, 0]

@HEADS.named("negative")
class Negative(Column):
    "Sums to one, with probabilities below zero."
    def distribution(self, raw):
        return raw.softmax(-1) + torch.linspace(-1, 1, raw.shape[-1])

@HEADS.named("careless")
class Careless(Short):
    "Has no arguments."
    def __init__(self):
        raise AssertionError
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of heads, which other tests do not get to see."""
    assert HEADS.names()
    monkeypatch.setattr(HEADS, "_factories", dict(HEADS._factories))
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
        ("bare", r"head Bare does not define `distribution`"),
        ("negative", r"head Negative: .*probabilities below 0"),
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


LOSSES = """
from wrinkle.losses import LOSSES, Term

@LOSSES.named("misfit")
class Misfit(Term):
    fits = ("distribution",)
    def __init__(self, of: str):
        self.of = of
    def __call__(self, output, target, head):
        raw = output.raw
        return {"rows": raw.mean(-1), "number": 3.0, "constant": raw.detach().mean()}[self.of]
"""


@pytest.mark.parametrize(
    ("of", "line"),
    [
        ("rows", r"loss misfit is \(1,\); it must be a tensor of shape \(\)"),
        ("number", "loss misfit is float"),
        ("constant", "loss misfit has no gradient"),
    ],
)
def test_a_loss_that_cannot_be_minimised_is_one_line(
    drawn_recipe: Path, tmp_path: Path, of: str, line: str
) -> None:
    (tmp_path / "losses.py").write_text(LOSSES)
    overrides = [f"plugins=[{tmp_path}/losses.py]", f"loss=[{{name: misfit, of: {of}}}]"]
    with pytest.raises(WrinkleError, match=line):
        train(load_recipe(drawn_recipe, overrides), "1", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_network_that_is_all_frozen_is_one_line(drawn_recipe: Path) -> None:
    with pytest.raises(WrinkleError, match=r"no gradient.*training\.frozen"):
        try_out(load_recipe(drawn_recipe, ["training.frozen=[conv, bn, head]"]))


@pytest.mark.parametrize("content", ["import nothing_of_that_name", "def f(:", "1 / 0"])
def test_a_recipe_whose_plugin_fails_is_one_line(
    drawn_recipe: Path, tmp_path: Path, content: str
) -> None:
    (tmp_path / "bad.py").write_text(content)
    with pytest.raises(WrinkleError, match=r"bad\.py cannot be imported: \w+Error") as caught:
        load_recipe(drawn_recipe, [f"plugins=[{tmp_path}/bad.py]"])
    assert "\n" not in str(caught.value)
