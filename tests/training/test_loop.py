import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests import tiny
from wrinkle import files
from wrinkle.errors import WrinkleError
from wrinkle.evaluation import evaluate
from wrinkle.files import read_tensors
from wrinkle.models.file import amend, load_model
from wrinkle.runs.folder import STATE_FILE
from wrinkle.runs.recipe import load_recipe
from wrinkle.training import loop
from wrinkle.training.folds import train
from wrinkle.training.stop import Stopped

ROOT = Path(__file__).parents[2]
RUNS = [sys.executable, "-m", "tests.training.runs"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def program(*arguments: object, launcher: list[str] | None = None) -> subprocess.CompletedProcess:
    command = [*(launcher or [sys.executable]), "-m", "tests.training.runs", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300
    )


def history(folder: Path) -> list[dict[str, float]]:
    with open(folder / "history.csv") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def test_it_learns_and_is_not_repeated(
    drawn_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = load_recipe(drawn_recipe, ["training.epochs=12"])
    (result,) = train(recipe, "1", tmp_path / "runs", "the command")
    # The drawn ages spread uniformly over 0–80: who always says 40 errs by 20.
    assert result.mae < 10
    folder = tmp_path / "runs" / "drawn"
    rows = history(folder / "1")
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert result.validation_mae == min(row["validation_mae"] for row in rows)
    assert not (folder / "1" / "state.safetensors").exists()
    assert (folder / "recipe.yaml").read_text().startswith("# the command\n")

    before = {path: path.stat().st_mtime_ns for path in (folder / "1").rglob("*")}
    capsys.readouterr()
    assert train(recipe, "1", tmp_path / "runs") == [result]
    assert f"| 1 | 64 | {result.mae:.3f} |" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "1").rglob("*")}


@pytest.mark.kills
@pytest.mark.slow
def test_killed_anywhere_it_ends_with_the_same_bits(drawn_recipe: Path, tmp_path: Path) -> None:
    overrides = ["training.checkpoint_every_steps=2", "training.workers=1"]
    train(load_recipe(drawn_recipe), "1", tmp_path / "whole")
    program("killed", drawn_recipe, tmp_path / "killed", 8, *overrides)
    whole, killed = (tmp_path / name / "drawn" / "1" for name in ("whole", "killed"))
    weights, others = (load_file(folder / "model.safetensors") for folder in (whole, killed))
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    for a, b in zip(history(whole), history(killed), strict=True):
        assert (a["loss"], a["validation_mae"]) == (b["loss"], b["validation_mae"])
    assert not list((tmp_path / "killed").rglob("*.part"))


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_more_processes_reach_the_loss_of_one(
    drawn_recipe: Path, tmp_path: Path, processes: int
) -> None:
    # 128 pictures in 4 steps over 3 processes: shares differ.
    overrides = ["model.dropout=0.0", "training.batch=37"]
    train(load_recipe(drawn_recipe, overrides), "1", tmp_path / "one")
    launcher = [*TORCHRUN, str(processes)]
    program("once", drawn_recipe, tmp_path / "many", *overrides, launcher=launcher)
    one, many = (tmp_path / name / "drawn" / "1" for name in ("one", "many"))
    for a, b in zip(history(one), history(many), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["validation_mae"] == pytest.approx(b["validation_mae"], rel=1e-4)
    weights, others = (load_file(folder / "model.safetensors") for folder in (one, many))
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, others[name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_writes_the_state_and_says_how_to_go_on(
    drawn_recipe: Path, tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(drawn_recipe)
    step, steps = loop.Trainer._step, []

    def interrupted(self: loop.Trainer, *arguments: object) -> dict[str, torch.Tensor]:
        steps.append(1)
        if len(steps) == 6:
            os.kill(os.getpid(), number)
        return step(self, *arguments)

    monkeypatch.setattr(loop.Trainer, "_step", interrupted)
    with pytest.raises(Stopped, match=r"epoch 2 of 3.*same command"):
        train(recipe, "1", tmp_path / "runs")
    _, header = read_tensors(tmp_path / "runs/drawn/1/state.safetensors", "state")
    assert (header["progress"]["epoch"], header["progress"]["step"]) == (1, 2)
    train(recipe, "1", tmp_path / "runs")
    assert len(steps) == 12
    train(recipe, "1", tmp_path / "whole")
    a, b = (tmp_path / runs / "drawn/1/model.safetensors" for runs in ("runs", "whole"))
    assert a.read_bytes() == b.read_bytes()


def test_the_state_of_an_older_version_is_one_line(
    drawn_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that wrinkle began before networks had heads."""
    folder = tmp_path / "drawn" / "1"
    with monkeypatch.context() as patch:
        patch.setattr(files, "FORMAT", 1)
        header = {"kind": "state", "progress": {"epoch": 0, "step": 2, "loss": 4.6, "seen": 64}}
        files.write_tensors(folder / STATE_FILE, {"model/fc.bias": torch.zeros(101)}, header)
    before = (folder / STATE_FILE).read_bytes()
    with pytest.raises(WrinkleError, match=r"state.safetensors.*older version.*remove") as error:
        train(load_recipe(drawn_recipe), "1", tmp_path)
    assert "\n" not in str(error.value)
    assert (folder / STATE_FILE).read_bytes() == before


@pytest.mark.kills
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_run_and_workers_ends_in_order(
    drawn_recipe: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [
            *RUNS,
            "once",
            drawn_recipe,
            tmp_path / "runs",
            "training.epochs=500",
            "training.workers=2",
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(tmp_path / "runs/drawn/1/history.csv")
    # To the whole group, as a terminal does.
    os.killpg(process.pid, number)
    error = process.communicate(timeout=60)[1]
    assert "Stopped: stopped in epoch" in error.splitlines()[-1]
    assert "DataLoader worker" not in error
    read_tensors(tmp_path / "runs/drawn/1/state.safetensors", "state")


def wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.1)
    raise TimeoutError(path)


def test_bf16_reaches_nearly_the_same(drawn_recipe: Path, tmp_path: Path) -> None:
    for precision in ("float32", "bf16"):
        overrides = [f"training.precision={precision}", f"name={precision}"]
        train(load_recipe(drawn_recipe, overrides), "1", tmp_path)
    full, half = (history(tmp_path / name / "1")[-1] for name in ("float32", "bf16"))
    assert full["loss"] != half["loss"]
    assert full["loss"] == pytest.approx(half["loss"], rel=0.05)
    weights = load_file(tmp_path / "bf16" / "1" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32, torch.int64}


def test_choose_last_and_sgd_and_clip(drawn_recipe: Path, tmp_path: Path) -> None:
    overrides = ["training.choose=last", "optimizer.name=sgd", "training.clip=0.001"]
    overrides += ["training.ema=null", "training.validate_every=2", "optimizer.weight_decay=0"]
    (result,) = train(load_recipe(drawn_recipe, overrides), "1", tmp_path)
    weights = load_file(tmp_path / "drawn/1/model.safetensors")
    torch.manual_seed(0)
    start = tiny.tiny().state_dict()
    # Nesterov with momentum 0.9 multiplies a constant gradient by less than 10.
    for name in ("conv.weight", "head.fc.weight"):
        moved = (weights[name] - start[name]).norm()
        assert 0 < moved < 12 * 0.01 * 0.001 * 10
    assert result.epochs == 3
    text = (tmp_path / "drawn/1/history.csv").read_text().splitlines()
    assert text[1].split(",")[2] == ""


def test_frozen_parts_keep_weights_and_statistics(drawn_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(drawn_recipe, ["training.frozen=[conv, bn]", "training.ema=null"])
    train(recipe, "1", tmp_path)
    weights = load_file(tmp_path / "drawn/1/model.safetensors")
    torch.manual_seed(recipe.training.seed)
    start = tiny.tiny().state_dict()
    for name in ("conv.weight", "bn.weight", "bn.running_mean", "bn.running_var"):
        assert torch.equal(weights[name], start[name])
    assert not torch.equal(weights["head.fc.weight"], start["head.fc.weight"])
    for name in ("conv2", "''"):
        recipe = load_recipe(drawn_recipe, [f"training.frozen=[{name}]"])
        with pytest.raises(WrinkleError, match=r"no part .*parts: .*conv, bn"):
            train(recipe, "1", tmp_path / "other")


def test_a_loss_that_explodes_is_one_line(drawn_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(drawn_recipe, ["optimizer.name=sgd", "optimizer.lr=1e30"])
    with pytest.raises(WrinkleError, match=r"the loss is (nan|inf) in epoch .*optimizer\.lr"):
        train(recipe, "1", tmp_path)


def test_a_full_disk_keeps_the_old_state(
    drawn_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(drawn_recipe)
    written, fsync = [], os.fsync

    def full(descriptor: int) -> None:
        written.append(1)
        if len(written) > 6:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(WrinkleError, match=r"disk is full.*kept") as error:
            train(recipe, "1", tmp_path / "runs")
    assert "\n" not in str(error.value)
    train(recipe, "1", tmp_path / "runs")
    train(recipe, "1", tmp_path / "whole")
    a, b = (tmp_path / runs / "drawn/1/model.safetensors" for runs in ("runs", "whole"))
    assert a.read_bytes() == b.read_bytes()


def test_a_damaged_picture_is_one_line(
    drawn_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(self: object, index: int) -> None:
        raise WrinkleError(f"picture {index} is damaged")

    monkeypatch.setattr("wrinkle.datasets.store.Store.image", damaged)
    for workers in (0, 1):
        recipe = load_recipe(drawn_recipe, [f"training.workers={workers}"])
        with pytest.raises(WrinkleError, match=r"^picture \d+ is damaged$"):
            train(recipe, "1", tmp_path / str(workers))


def test_the_card_says_where_a_model_comes_from(drawn_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(drawn_recipe, ["training.epochs=1", "loss.dldl_v2.sigma=3"])
    (result,) = train(recipe, "2", tmp_path)
    model, header = load_model(tmp_path / "drawn/2/model.safetensors")
    origin = header["provenance"]
    assert origin["recipe"] == recipe.to_yaml()
    assert origin["scores"] == {"validation_mae": result.validation_mae}
    assert (origin["fold"], origin["epochs"], origin["device"]) == ("2", 1, "cpu")
    assert origin["pictures"] == {"train": 128, "validation": 64, "test": 64}
    assert header["input"]["size"] == 32
    assert header["mirror_average"] is model.mirror_average is True
    assert not model.training
    json.dumps(header)


def test_a_model_without_the_mirror_image_is_validated_tested_and_used_without(
    drawn_recipe: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(drawn_recipe, ["training.epochs=1", "training.mirror_average=false"])
    (result,) = train(recipe, "2", tmp_path)
    file, store = tmp_path / "drawn/2/model.safetensors", recipe.data.store
    assert load_model(file)[0].mirror_average is False
    (alone,) = evaluate(file, store, split="test", workers=0).scores[:1]
    assert alone.mae.value == pytest.approx(result.mae, abs=1e-5)
    amend(file, tmp_path / "both.safetensors", mirror_average=True)
    (both,) = evaluate(tmp_path / "both.safetensors", store, split="test", workers=0).scores[:1]
    assert abs(both.mae.value - result.mae) > 1e-4
