"""What holds for training of the baseline holds for DHAA: nothing lost, nothing changed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.test_loop import TORCHRUN, history, program
from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.metrics import mean_absolute_error
from wrinkle.evaluation.prediction_files import read_predictions
from wrinkle.runs.recipe import load_recipe
from wrinkle.training.folds import train

DHAA = [
    "model={name: dhaa, width: 4}",
    "loss=[{name: cross_entropy}]",
    "optimizer={name: sgd, lr: 0.003}",
    "training.epochs=2",
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.kills
@pytest.mark.slow
def test_killed_anywhere_it_ends_with_the_same_bits(drawn_recipe: Path, tmp_path: Path) -> None:
    overrides = [*DHAA, "training.checkpoint_every_steps=1"]
    train(load_recipe(drawn_recipe, DHAA), "1", tmp_path / "whole")
    program("killed", drawn_recipe, tmp_path / "killed", 4, *overrides)
    whole, killed = (tmp_path / name / "drawn" / "1" for name in ("whole", "killed"))
    weights, others = (load_file(folder / "model.safetensors") for folder in (whole, killed))
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert [h["loss"] for h in history(whole)] == [h["loss"] for h in history(killed)]


@pytest.mark.slow
def test_two_processes_reach_the_loss_of_one(drawn_recipe: Path, tmp_path: Path) -> None:
    train(load_recipe(drawn_recipe, DHAA), "1", tmp_path / "one")
    launcher = [*TORCHRUN, "2"]
    program("once", drawn_recipe, tmp_path / "two", *DHAA, launcher=launcher)
    one, two = (tmp_path / name / "drawn" / "1" for name in ("one", "two"))
    for a, b in zip(history(one), history(two), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
    weights, others = (load_file(folder / "model.safetensors") for folder in (one, two))
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, others[name], rtol=1e-2, atol=1e-3, msg=name)


def test_it_learns_and_every_classifier_is_scored(drawn_recipe: Path, tmp_path: Path) -> None:
    (result,) = train(load_recipe(drawn_recipe, DHAA), "1", tmp_path)
    folder = tmp_path / "drawn" / "1"
    losses = [row["loss"] for row in history(folder)]
    assert losses[1] < losses[0] < 10 * 4.7  # ln 101 each, at the start
    names = ["DHAA", "G-1", "G-2", "G-3", "L-1", "L-2", "L-3", "GL-1", "GL-2", "GL-3"]
    assert list(result.classifiers) == names
    assert result.classifiers["DHAA"] == pytest.approx(result.mae)
    tested = read_predictions(folder / "predictions.parquet")
    assert list(tested.classifiers) == names[1:]
    error = mean_absolute_error(tested.classifiers["L-1"], tested.actual)
    assert result.classifiers["L-1"] == error
    text = (tmp_path / "drawn" / "results.md").read_text()
    assert f"| L-1 | {result.classifiers['L-1']:.3f} |" in text


def test_without_losses_on_sub_networks(drawn_recipe: Path, tmp_path: Path) -> None:
    overrides = [
        "model={name: dhaa, width: 4, sub_losses: false, branches: local}",
        "loss=[{name: cross_entropy}]",
        "training.epochs=1",
    ]
    (result,) = train(load_recipe(drawn_recipe, overrides), "1", tmp_path)
    assert result.classifiers == {}
    assert "classifier" not in (tmp_path / "drawn" / "results.md").read_text()


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ([*DHAA, "model.head=coral"], "loss cross_entropy trains heads of the kind distribution"),
        ([*DHAA, "model.head=corl"], "unknown head 'corl'.*did you mean 'coral'"),
        ([*DHAA, "model.branches=all"], "unknown branch 'all'"),
        ([*DHAA, "loss.sigma=2"], "write loss.NAME.field=value"),
        ([*DHAA, "init=none.pth"], "none.pth: no such file"),
        ([*DHAA, "model.pooling=roi"], "input.zoom is 1; this dhaa needs 0.8"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    drawn_recipe: Path, tmp_path: Path, overrides: list[str], line: str
) -> None:
    with pytest.raises(WrinkleError, match=line) as caught:
        train(load_recipe(drawn_recipe, overrides), "1", tmp_path)
    assert "\n" not in str(caught.value)
    # The corrected command is not told that the folder holds another run.
    assert not list(tmp_path.rglob("recipe.yaml"))


@pytest.mark.slow
def test_a_fresh_classifier_on_a_trained_trunk(drawn_recipe: Path, tmp_path: Path) -> None:
    short = [*DHAA, "training.epochs=1"]
    train(load_recipe(drawn_recipe, [*short, "name=a"]), "1", tmp_path)
    start = tmp_path / "a" / "1" / "model.safetensors"
    still = ["training.seed=7", "optimizer.lr=1e-9", "optimizer.momentum=0.0", "training.ema=null"]
    for name, keep in (("kept", "true"), ("fresh", "false")):
        overrides = [*short, f"init={start}", f"init_classifier={keep}", f"name={name}", *still]
        train(load_recipe(drawn_recipe, overrides), "1", tmp_path)
    first, kept, fresh = (
        load_file(tmp_path / name / "1" / "model.safetensors") for name in ("a", "kept", "fresh")
    )
    torch.testing.assert_close(kept["head.fc.weight"], first["head.fc.weight"])
    for place in ("head.fc.weight", "sub_heads.L-2.fc.weight"):
        torch.testing.assert_close(kept[place], first[place])
        assert not torch.allclose(fresh[place], first[place], atol=1e-3)
    torch.testing.assert_close(fresh["conv1.weight"], first["conv1.weight"])


@pytest.mark.slow
def test_folds_spread_over_processes_make_one_table(drawn_recipe: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    jobs = []
    for folds in ("1-2", "3-4"):
        code = (
            "import sys, torch; torch.set_num_threads(1);"
            "from tests import tiny;"
            "from wrinkle.training.folds import train;"
            "from wrinkle.runs.recipe import load_recipe;"
            "train(load_recipe(sys.argv[1], ['training.epochs=1']), sys.argv[2], sys.argv[3])"
        )
        arguments = [sys.executable, "-c", code, str(drawn_recipe), folds, str(tmp_path)]
        jobs.append(subprocess.Popen(arguments, stderr=subprocess.DEVNULL))
    assert [job.wait() for job in jobs] == [0, 0]
    root = tmp_path / "drawn"
    store = Store(load_recipe(drawn_recipe).data.store)
    train(load_recipe(drawn_recipe, ["training.epochs=1"]), "1", tmp_path)
    assert f"| all pictures | {len(store)} |" in (root / "results.md").read_text()
    assert not list(root.glob("*.part"))
