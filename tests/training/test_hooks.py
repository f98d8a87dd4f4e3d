"""Hooks of networks and heads: when they are called, with what, and that a stop changes nothing."""

import csv
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.tiny import Tiny
from tests.training.test_loop import TORCHRUN, program
from wrinkle.datasets.loader import EpochBatches, balance_weights
from wrinkle.datasets.store import Store
from wrinkle.faces.align import TEMPLATE
from wrinkle.faces.input import InputSpec
from wrinkle.files import read_tensors
from wrinkle.models import MODELS, Extras, Output
from wrinkle.models.file import load_model
from wrinkle.models.heads import HEADS
from wrinkle.models.heads.softmax import Softmax
from wrinkle.protocols import Fold, get_protocol
from wrinkle.runs.recipe import Recipe, load_recipe
from wrinkle.training import loop
from wrinkle.training.extras import EXTRAS_FILE
from wrinkle.training.folds import train
from wrinkle.training.stop import Stopped


@dataclass
class Calls:
    """What the hooks of this file were called with."""

    before: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Views (N, 3, S, S) and ages (N,)."""
    rows: list[Tensor] = field(default_factory=list)
    """Images that extras were computed for."""
    passes: list[tuple[bool, Tensor, Extras | None, Tensor]] = field(default_factory=list)
    """Whether in training, images, extras, raw output."""
    after: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Raw outputs (N, A) and ages (N,)."""


CALLS = Calls()


def code(images: Tensor) -> Tensor:
    """(B, 3, H, W) → (B, 2): how light a picture is, and how much lighter on the left. The second
    changes its sign in a mirror image."""
    left, right = images.chunk(2, -1)
    return torch.stack([images.mean((1, 2, 3)), left.mean((1, 2, 3)) - right.mean((1, 2, 3))], 1)


class Hooked(Tiny):
    """A tiny network with the hooks that a network may have."""

    brightness: Tensor

    def __init__(self, head: str) -> None:
        super().__init__(100, 32, 0.1, head)
        self.register_buffer("brightness", torch.zeros(2))
        self.codes = nn.Linear(2, 8)

    def before_training(self, views: Iterable[Tensor], ages: Tensor) -> None:
        pictures = torch.cat(list(views))
        CALLS.before.append((pictures, ages))
        self.brightness.copy_(torch.stack([pictures.mean(), ages.mean()]))

    def row_extras(self, images: Tensor) -> dict[str, Tensor]:
        CALLS.rows.append(images)
        return {"code": code(images)}

    def forward(
        self, images: Tensor, key_points: Tensor | None = None, extras: Extras | None = None
    ) -> Output:
        codes = code(images) if extras is None else extras.values["code"]
        features = self.forward_features(images, key_points) + self.codes(codes)
        raw = self.classify(features + self.brightness[0])
        if images.shape[0] > 1:  # the network is also run on one blank face
            CALLS.passes.append((self.training, images, extras, raw.detach()))
        return Output(raw)


class Remembering(Softmax):
    """A softmax whose logits are shifted by what the last epoch's were."""

    offset: Tensor

    def __init__(self, in_features: int, ages: Tensor, /) -> None:
        super().__init__(in_features, ages)
        self.register_buffer("offset", torch.zeros(len(ages)))

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) + self.offset

    def after_epoch(self, raw: Tensor, ages: Tensor) -> None:
        CALLS.after.append((raw.clone(), ages.clone()))
        share = torch.bincount(ages.long(), minlength=len(self.ages)) / len(ages)
        self.offset.copy_(0.1 * raw.mean(0) + share)


def hooked(input_size: int = 32, head: str = "softmax") -> Hooked:
    return Hooked(head)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Registers network and head for one test alone, and forgets earlier calls."""
    torch.set_num_threads(1)
    assert MODELS.names()
    assert HEADS.names()
    monkeypatch.setitem(MODELS._factories, "hooked", hooked)
    monkeypatch.setitem(HEADS._factories, "remembering", Remembering)
    CALLS.__init__()  # type: ignore[misc]
    yield
    CALLS.__init__()  # type: ignore[misc]


MIRROR_ONLY = "augment={mirror: 0.5}"


def recipe_of(path: Path, *overrides: str) -> Recipe:
    head = "" if any("model" in each for each in overrides) else "model={name: hooked}"
    return load_recipe(path, [*([head] if head else []), *overrides])


def fold_of(recipe: Recipe) -> tuple[Store, Fold]:
    store = Store(recipe.data.store)
    return store, get_protocol(recipe.data.protocol).folds(store.columns)[0]


def spec_of(store: Store) -> InputSpec:
    return InputSpec(32, 1.0, store.size, Hooked.mean, Hooked.std)


def plain(store: Store, rows: np.ndarray) -> Tensor:
    """The network's input (N, 3, 32, 32) for rows without augmentation."""
    crops = np.stack([store.image(int(row)) for row in rows])
    return spec_of(store)(crops, np.asarray(store.key_points)[rows])[0]


def epoch_rows(recipe: Recipe, store: Store, fold: Fold, epoch: int) -> np.ndarray:
    weights = balance_weights(store.ages[fold.train], recipe.training.balance)
    batches = EpochBatches(fold.train, weights, recipe.training.batch, recipe.training.seed)
    return batches.order(epoch)


def stop_at(patch: pytest.MonkeyPatch, number: int) -> None:
    """Ctrl-C during the given step, counted over the whole training."""
    step, steps = loop.Trainer._step, []

    def interrupted(self: loop.Trainer, *arguments: object) -> dict[str, Tensor]:
        steps.append(1)
        if len(steps) == number:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *arguments)  # type: ignore[arg-type]

    patch.setattr(loop.Trainer, "_step", interrupted)


def weights_of(runs: Path) -> dict[str, Tensor]:
    return load_file(runs / "drawn" / "1" / "model.safetensors")


def assert_same_bits(a: Path, b: Path) -> None:
    first, second = weights_of(a), weights_of(b)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    lines = [history(runs) for runs in (a, b)]
    assert lines[0] == lines[1]


def history(runs: Path) -> list[dict[str, str]]:
    with open(runs / "drawn" / "1" / "history.csv") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k != "images_per_second"} for row in rows]


# Before training


@pytest.mark.parametrize("ema", ["null", "0.9"])
def test_before_training_sees_the_training_faces_once(
    drawn_recipe: Path, tmp_path: Path, ema: str
) -> None:
    recipe = recipe_of(drawn_recipe, f"training.ema={ema}")
    train(recipe, "1", tmp_path)
    store, fold = fold_of(recipe)
    ((pictures, ages),) = CALLS.before
    assert torch.equal(ages, torch.from_numpy(store.ages[fold.train]))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (Hooked.mean, Hooked.std))
    torch.testing.assert_close(pictures, plain(store, fold.train) * std + mean)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    # What it has set is in the model file, of an averaged network too.
    model, _ = load_model(tmp_path / "drawn" / "1" / "model.safetensors")
    assert isinstance(model, Hooked)
    expected = torch.stack([pictures.mean(), ages.mean()])
    torch.testing.assert_close(model.brightness, expected)


def test_nothing_is_read_for_a_network_without_hooks(
    drawn_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("views were read")

    monkeypatch.setattr("wrinkle.training.extras.create_loader", read)
    train(load_recipe(drawn_recipe, ["training.epochs=1"]), "1", tmp_path)
    assert not list(tmp_path.rglob(EXTRAS_FILE))


@pytest.mark.parametrize("stopped_at", [1, 6, 8])
def test_after_a_stop_nothing_is_computed_again_and_the_bits_are_the_same(
    drawn_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_at: int
) -> None:
    recipe = recipe_of(drawn_recipe)
    with monkeypatch.context() as patch:
        stop_at(patch, stopped_at)
        with pytest.raises(Stopped):
            train(recipe, "1", tmp_path / "stopped")
    assert len(CALLS.before) == 1
    rows = sum(map(len, CALLS.rows))
    train(recipe, "1", tmp_path / "stopped")
    assert len(CALLS.before) == 1
    assert sum(map(len, CALLS.rows)) == rows
    train(recipe, "1", tmp_path / "whole")
    assert len(CALLS.before) == 2
    assert_same_bits(tmp_path / "stopped", tmp_path / "whole")


# Row extras


@pytest.mark.parametrize("workers", [0, 1])
def test_each_row_brings_the_extras_of_the_side_that_is_shown(
    drawn_recipe: Path, tmp_path: Path, workers: int
) -> None:
    recipe = recipe_of(drawn_recipe, MIRROR_ONLY, f"training.workers={workers}")
    train(recipe, "1", tmp_path)
    store, fold = fold_of(recipe)
    # Twice for each row of both parts, as it is and mirrored, whatever the epochs.
    known = np.union1d(fold.train, fold.validation)
    assert sum(map(len, CALLS.rows)) == 2 * len(known)
    every = plain(store, known)
    computed = CALLS.rows[::2], CALLS.rows[1::2]
    torch.testing.assert_close(torch.cat(computed[0]), every)
    torch.testing.assert_close(torch.cat(computed[1]), every.flip(-1))

    trained = [each for each in CALLS.passes if each[0]]
    order = np.concatenate([epoch_rows(recipe, store, fold, epoch) for epoch in range(3)])
    own = dict(zip(known.tolist(), code(every), strict=True))
    sides = set()
    place = 0
    for _, images, extras, _ in trained:
        assert extras is not None
        assert list(extras.values) == ["code"]
        # Mirroring is the only motion here, and the extras are those of the mirrored view.
        torch.testing.assert_close(extras.motion, torch.eye(2, 3).expand(len(images), 2, 3))
        torch.testing.assert_close(extras.values["code"], code(images), atol=1e-4, rtol=1e-3)
        for found in extras.values["code"]:
            light, left = own[int(order[place])]
            torch.testing.assert_close(found[0], light, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(found[1].abs(), left.abs(), atol=1e-4, rtol=1e-4)
            sides.add(bool((found[1] - left).abs() < 1e-4))
            place += 1
    assert place == len(order)
    assert sides == {True, False}


@pytest.mark.parametrize("ema", ["null", "0.9"])
def test_validation_uses_what_is_known_of_both_sides(
    drawn_recipe: Path, tmp_path: Path, ema: str
) -> None:
    recipe = recipe_of(drawn_recipe, f"training.ema={ema}")
    train(recipe, "1", tmp_path)
    store, fold = fold_of(recipe)
    quiet = [each for each in CALLS.passes if not each[0]]
    known = [each for each in quiet if each[2] is not None]
    # Three validations and the calibration, each with mirror images; the test part has none.
    assert sum(len(images) for _, images, *_ in known) == 4 * 2 * len(fold.validation)
    assert sum(len(e[1]) for e in quiet if e[2] is None) == 2 * len(fold.test)
    codes = code(plain(store, fold.validation))
    start = 0
    for _, images, extras, _ in known:
        assert extras is not None
        torch.testing.assert_close(extras.motion, torch.eye(2, 3).expand(len(images), 2, 3))
        torch.testing.assert_close(extras.values["code"], code(images), atol=1e-4, rtol=1e-3)
        half = len(images) // 2
        expected = codes[start : start + half]
        torch.testing.assert_close(extras.values["code"][:half], expected, atol=1e-4, rtol=1e-3)
        start = (start + half) % len(fold.validation)
    assert not list(tmp_path.rglob(EXTRAS_FILE))


def test_motion_moves_points_of_the_view_as_the_picture_moves(
    drawn_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network is told where the key points of a varied view are; so says its motion, applied
    to those of the plain view or of its mirror image."""
    seen: list[tuple[Tensor, Tensor]] = []

    class Watching(Hooked):
        def forward(
            self, images: Tensor, key_points: Tensor | None = None, extras: Extras | None = None
        ) -> Output:
            if self.training:
                assert key_points is not None
                assert extras is not None
                moved = extras.values["points"] @ extras.motion[..., :2].mT
                seen.append((moved + extras.motion[:, None, :, 2], key_points))
                extras = None
            return super().forward(images, key_points, extras)

        def row_extras(self, images: Tensor) -> dict[str, Tensor]:
            # Aligned faces have their key points where the template has them, on both sides.
            points = torch.tensor(TEMPLATE, dtype=torch.float32)
            return {"points": points.expand(len(images), 5, 2), **super().row_extras(images)}

    monkeypatch.setitem(MODELS._factories, "watching", lambda input_size=32: Watching("softmax"))
    recipe = recipe_of(
        drawn_recipe,
        "model={name: watching}",
        "augment={mirror: 0.5, rotation: 30, scale: 0.2, translation: 0.1}",
    )
    train(recipe, "1", tmp_path)
    moved, points = (torch.cat(parts) for parts in zip(*seen, strict=True))
    assert len(moved) == 3 * 128
    # The template is symmetric but for a few thousandths.
    torch.testing.assert_close(moved, points, atol=0.02, rtol=0)
    assert (points - points[0]).abs().amax((1, 2)).max() > 0.2


# After each epoch

REMEMBERING = "model={name: hooked, head: remembering}"


def test_after_epoch_gets_the_epoch_in_order(drawn_recipe: Path, tmp_path: Path) -> None:
    recipe = recipe_of(drawn_recipe, REMEMBERING, "training.ema=null")
    train(recipe, "1", tmp_path)
    store, fold = fold_of(recipe)
    assert len(CALLS.after) == 3
    trained = torch.cat([raw for training, _, _, raw in CALLS.passes if training]).split(128)
    for epoch, (raw, ages) in enumerate(CALLS.after):
        rows = epoch_rows(recipe, store, fold, epoch)
        assert torch.equal(ages, torch.from_numpy(store.ages[rows]))
        assert raw.shape == (128, 101)
        assert not raw.requires_grad
        assert torch.equal(raw, trained[epoch])


def test_what_it_has_set_is_validated_and_kept(drawn_recipe: Path, tmp_path: Path) -> None:
    overrides = ["training.ema=null", "training.choose=last"]
    train(recipe_of(drawn_recipe, REMEMBERING, *overrides), "1", tmp_path)
    raw, ages = CALLS.after[-1]
    share = torch.bincount(ages.long(), minlength=101) / len(ages)
    torch.testing.assert_close(weights_of(tmp_path)["head.offset"], 0.1 * raw.mean(0) + share)


def test_the_running_average_is_updated_too(drawn_recipe: Path, tmp_path: Path) -> None:
    """Else the model that is kept would lack the last update, and mix earlier ones."""
    overrides = ["training.ema=0.99", "training.choose=last"]
    train(recipe_of(drawn_recipe, REMEMBERING, *overrides), "1", tmp_path)
    raw, ages = CALLS.after[-1]
    share = torch.bincount(ages.long(), minlength=101) / len(ages)
    torch.testing.assert_close(weights_of(tmp_path)["head.offset"], 0.1 * raw.mean(0) + share)


@pytest.mark.parametrize("stopped_at", [2, 4, 7, 12])
@pytest.mark.parametrize("ema", ["null", "0.9"])
def test_stopped_within_an_epoch_it_ends_with_the_same_bits(
    drawn_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_at: int, ema: str
) -> None:
    recipe = recipe_of(drawn_recipe, REMEMBERING, f"training.ema={ema}")
    train(recipe, "1", tmp_path / "whole")
    whole = CALLS.after.copy()
    CALLS.after.clear()
    with monkeypatch.context() as patch:
        stop_at(patch, stopped_at)
        with pytest.raises(Stopped):
            train(recipe, "1", tmp_path / "stopped")
    tensors, header = read_tensors(tmp_path / "stopped/drawn/1/state.safetensors", "state")
    progress = header["progress"]
    assert progress["epoch"] * 4 + progress["step"] == stopped_at
    assert tensors["epoch/raw"].shape == (32 * progress["step"], 101)
    assert tensors["epoch/ages"].shape == (32 * progress["step"],)
    train(recipe, "1", tmp_path / "stopped")
    for (raw, ages), (other, others) in zip(CALLS.after, whole, strict=True):
        assert torch.equal(raw, other)
        assert torch.equal(ages, others)
    assert_same_bits(tmp_path / "stopped", tmp_path / "whole")


def test_a_state_has_no_outputs_where_nobody_wants_them(
    drawn_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(Stopped):
            train(load_recipe(drawn_recipe), "1", tmp_path)
    tensors, _ = read_tensors(tmp_path / "drawn/1/state.safetensors", "state")
    assert {name.partition("/")[0] for name in tensors} == {"model", "optimizer", "average"}


PLUGIN = """
from wrinkle.models import HEADS
from wrinkle.models.heads.softmax import Softmax


@HEADS.named("counting")
class Counting(Softmax):
    def after_epoch(self, raw, ages):
        pass
"""


@pytest.mark.slow
def test_after_epoch_in_several_processes_is_refused(drawn_recipe: Path, tmp_path: Path) -> None:
    content = yaml.safe_load(drawn_recipe.read_text())
    content |= {"plugins": ["counting.py"], "model": {"name": "tiny", "head": "counting"}}
    drawn_recipe.write_text(yaml.safe_dump(content))
    drawn_recipe.with_name("counting.py").write_text(PLUGIN)
    with pytest.raises(subprocess.CalledProcessError) as error:
        program("once", drawn_recipe, tmp_path / "two", launcher=[*TORCHRUN, "2"])
    assert "which works in one process only" in error.value.stderr
    program("once", drawn_recipe, tmp_path / "one", "training.epochs=1")


# Loss terms


class TestLossTerms:
    """What history.csv says of a loss."""

    TERMS: ClassVar = "loss=[{name: cross_entropy, weight: 0.5}, {name: mean_variance, weight: 2}]"

    def test_each_of_several_terms_has_a_column(self, drawn_recipe: Path, tmp_path: Path) -> None:
        train(load_recipe(drawn_recipe, [self.TERMS]), "1", tmp_path)
        rows = history(tmp_path)
        assert len(rows) == 3
        assert list(rows[0]) == [
            "epoch",
            "loss",
            "cross_entropy",
            "mean_variance",
            "validation_mae",
        ]
        for row in rows:
            loss, first, second = (float(row[n]) for n in list(row)[1:4])
            # Terms are logged before they are weighted.
            assert loss == pytest.approx(0.5 * first + 2 * second, rel=1e-5)
            assert second > 0
        assert 3 < float(rows[0]["cross_entropy"]) < 5.5  # ln 101 = 4.6

    def test_a_single_term_is_the_loss(self, drawn_recipe: Path, tmp_path: Path) -> None:
        train(load_recipe(drawn_recipe, ["loss=[{name: cross_entropy}]"]), "1", tmp_path)
        assert list(history(tmp_path)[0]) == ["epoch", "loss", "validation_mae"]

    def test_a_stop_within_an_epoch_changes_no_term(
        self, drawn_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recipe = load_recipe(drawn_recipe, [self.TERMS])
        with monkeypatch.context() as patch:
            stop_at(patch, 6)
            with pytest.raises(Stopped):
                train(recipe, "1", tmp_path / "stopped")
        train(recipe, "1", tmp_path / "stopped")
        train(recipe, "1", tmp_path / "whole")
        assert_same_bits(tmp_path / "stopped", tmp_path / "whole")
