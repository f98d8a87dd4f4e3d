"""The training loop: one fold of one recipe, on one CPU, one GPU or many processes.

Everything random is a function of (seed, step), and a state file holds everything else. So a run
that was stopped anywhere, by whatever, goes on as if it had not been: on a CPU to the last bit.
Several processes share each batch and compute what one would, batch norm included, within rounding;
only dropout draws other numbers in each.
"""

import csv
import inspect
import io
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from wrinkle.datasets.loader import (
    EpochBatches,
    Faces,
    Item,
    balance_weights,
    create_loader,
    read_batches,
)
from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.faces.align import TEMPLATE, TEMPLATE_VERSION, face_input
from wrinkle.files import read_tensors, replace_file, write_tensors
from wrinkle.inference.predict_store import predict_store
from wrinkle.losses import LOSSES
from wrinkle.models import AgeModel, Output, create_model
from wrinkle.models.bio_inspired import FixedPatchFusion
from wrinkle.models.file import save_model
from wrinkle.models.pretrained import fill, load_initial
from wrinkle.protocols import Fold
from wrinkle.runs import recipe
from wrinkle.runs.folder import HISTORY_FILE, MODEL_FILE, STATE_FILE
from wrinkle.training.batch_norm import share_batch_norm
from wrinkle.training.optim import create_optimizer, learning_rate_factor, set_learning_rate
from wrinkle.training.patches import (
    PATCHES_FILE,
    find_patches,
    plain_views,
    read_patches,
    write_patches,
)
from wrinkle.training.state import optimizer_tensors, restore_optimizer

AUXILIARY = {
    "sub_logits": "sub-networks with classifiers of their own",
    "maps": "a network of attention maps",
}
"""What losses take of a network's further outputs, and what a network has that gives it."""
SHOW_EVERY = 10
"""Steps between looks at the loss: each look waits for the GPU."""


class Stopped(KeyboardInterrupt):
    """Training stopped on request, its state written. `str(error)` says how to go on."""


@dataclass
class Progress:
    """Where a run stands: in `epoch` (0-based) before `step`, with this epoch's loss so far."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    seen: int = 0
    best: float | None = None
    history: list[dict[str, float | None]] = field(default_factory=list)


class StopRequest:
    """Ctrl-C and SIGTERM as a flag, so that no step is left half done.

    A second signal raises KeyboardInterrupt on the spot.
    """

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> "StopRequest":
        self._before = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def check(self) -> None:
        """KeyboardInterrupt if a signal has come."""
        if self.requested:
            raise KeyboardInterrupt


class Run:
    """One fold of a recipe being trained in `folder`, from where its state file stands.

    first: model file of the recipe's first stage, where it has one.
    """

    def __init__(
        self,
        recipe: recipe.Recipe,
        store: Store,
        fold: Fold,
        folder: Path,
        accelerator: Accelerator,
        first: Path | None = None,
    ) -> None:
        self.recipe, self.store, self.fold, self.folder = recipe, store, fold, folder
        self.first = first
        self.accelerator, self.device = accelerator, accelerator.device
        self.world, self.rank = accelerator.num_processes, accelerator.process_index
        self.main = accelerator.is_main_process
        self.progress = Progress()
        self._load_state()
        self._build_network()
        self._build_data()

    def _load_state(self) -> None:
        self.state: dict[str, Tensor] = {}
        if (self.folder / STATE_FILE).exists():
            self.state, header = read_tensors(self.folder / STATE_FILE, "state")
            self.progress = Progress(**header["progress"])

    def _build_network(self) -> None:
        self.network = build_network(self.recipe, bool(self.state), self.first)
        self.network.to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.state:
            self.network.load_state_dict(self._part("model"))
        self.average: AgeModel | None = None
        if self.recipe.training.ema is not None:
            self.average = deepcopy(self.network).requires_grad_(False).eval()
            if self.state:
                self.average.load_state_dict(self._part("average"))
        if self.world > 1:
            share_batch_norm(self.network, self.device)
        self.optimizer = create_optimizer(self.network, self.recipe.optimizer)
        restore_optimizer(self.network, self.optimizer, self._part("optimizer"))
        self.model, self.stepper = self.accelerator.prepare(self.network, self.optimizer)
        self.loss = create_loss(self.recipe.loss, self.network)

    def _build_data(self) -> None:
        training, view = self.recipe.training, self.recipe.input
        self.faces = Faces(self.store, view.size, view.zoom, self.recipe.augment, training.seed)
        weights = balance_weights(self.store.ages[self.fold.train], training.balance)
        self.batches = EpochBatches(
            self.fold.train, weights, training.batch, training.seed, self.rank, self.world
        )
        self.loader = create_loader(self.faces, self.batches, training.workers, self.device)

    def _part(self, prefix: str) -> dict[str, Tensor]:
        start = prefix + "/"
        return {n[len(start) :]: t for n, t in self.state.items() if n.startswith(start)}

    def train(self) -> None:
        """Train to the last epoch and leave the chosen model in the folder."""
        epochs, progress = self.recipe.training.epochs, self.progress
        first = progress.epoch * self.batches.steps + progress.step
        self.state = {}
        with StopRequest() as stop, self._writer(first) as writer, self._bar() as bar:
            try:
                self._find_patches(stop)
                while progress.epoch < epochs:
                    self._train_epoch(stop, writer, bar)
                    self._end_epoch(stop, writer)
            except KeyboardInterrupt as error:
                # Loaders that a traceback's frames kept alive would be killed, noisily, at the end.
                del self.loader
                raise Stopped(
                    f"stopped in epoch {progress.epoch + 1} of {epochs}, fold {self.fold.name}: "
                    "run the same command again to go on"
                ) from error.with_traceback(None)

    def _find_patches(self, stop: StopRequest) -> None:
        """Let the data bring along where the network is to look, found by the main process."""
        self.patches: np.ndarray | None = None
        if not self.network.patches:
            return
        network, fold = self.network, self.fold
        rows = np.union1d(fold.train, fold.validation)
        if self.main and not (self.folder / PATCHES_FILE).exists():
            views = partial(
                plain_views,
                self.store,
                view=self.recipe.input,
                device=self.device,
                workers=self.recipe.training.workers,
                between=stop.check,
            )
            if isinstance(network, FixedPatchFusion):
                ages = np.asarray(self.store.ages)[fold.train]
                network.learn_patches(views(fold.train, what="features"), ages)
            write_patches(self.folder, rows, find_patches(network, views(rows, what="patches")))
        self.accelerator.wait_for_everyone()
        self.patches = self.faces.patches = read_patches(self.folder, len(self.store))
        for each in (network, self.average):
            if isinstance(each, FixedPatchFusion):
                each.boxes.copy_(torch.from_numpy(self.patches[rows[0], 0]))

    def _train_epoch(self, stop: StopRequest, writer: SummaryWriter | None, bar: tqdm) -> None:
        training, progress = self.recipe.training, self.progress
        began, seen_before = time.perf_counter(), progress.seen
        total = torch.tensor(progress.loss_sum, dtype=torch.float64, device=self.device)
        self.model.train()
        self.batches.start(progress.epoch, progress.step)
        for batch in read_batches(self.loader, self.device):
            size = self.batches.step_size(progress.step)
            total += self._step(batch, size) * size
            progress.step += 1
            progress.seen += size
            bar.update(size)
            if progress.step % SHOW_EVERY == 0:
                self._show(bar, writer, float(total) / progress.seen)
            if self._agree(stop.requested):
                self._save_state(total)
                raise KeyboardInterrupt
            if progress.step % training.checkpoint_every_steps == 0:
                self._save_state(total)
        self._save_state(total)
        self.speed = (progress.seen - seen_before) / (time.perf_counter() - began)

    def _step(self, batch: Item, size: int) -> Tensor:
        """One step on this process's share of a batch of `size` → the whole batch's mean loss."""
        step = self.progress.epoch * self.batches.steps + self.progress.step
        training = self.recipe.training
        torch.manual_seed(step_seed(training.seed, step, self.rank))
        factor = learning_rate_factor(
            self.recipe.schedule, training.epochs, self.batches.steps, step
        )
        set_learning_rate(self.optimizer, factor)
        images = face_input(
            batch.crop,
            batch.matrix,
            self.recipe.input.size,
            self.network.mean,
            self.network.std,
        )
        with torch.autocast(self.device.type, torch.bfloat16, training.precision == "bf16"):
            known = [batch.patches[:, 0]] if self.patches is not None else []
            output = self.model(images, batch.key_points, *known)
        # Processes' gradients are averaged: weigh each by its share of the batch.
        loss = self.loss(output, batch, self.network.ages)
        loss = loss * (len(batch.age) * self.world / size)
        self.stepper.zero_grad()
        self.accelerator.backward(loss)
        if training.clip is not None:
            self.accelerator.clip_grad_norm_(self.network.parameters(), training.clip)
        self.stepper.step()
        if self.average is not None and training.ema is not None:
            update_average(self.average, self.network, min(training.ema, (1 + step) / (10 + step)))
        loss = loss.detach()
        return self.accelerator.reduce(loss, "mean") if self.world > 1 else loss

    def _end_epoch(self, stop: StopRequest, writer: SummaryWriter | None) -> None:
        """Validate, keep the model if it is the one to keep, and write all that down."""
        training, progress = self.recipe.training, self.progress
        last = progress.epoch + 1 == training.epochs
        score = None
        if len(self.fold.validation) and (
            last or (progress.epoch + 1) % training.validate_every == 0
        ):
            score = self._validate(stop)
        progress.history.append(
            {
                "epoch": progress.epoch + 1,
                "loss": progress.loss_sum / progress.seen,
                "validation_mae": score,
                "images_per_second": round(self.speed, 1),
            }
        )
        better = score is not None and (progress.best is None or score < progress.best)
        if better:
            progress.best = score
        if last if training.choose == "last" else better:
            self._save_model(score)
        steps = (progress.epoch + 1) * self.batches.steps
        if writer is not None and score is not None:
            writer.add_scalar("validation/mae", score, steps)
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.loss_sum, progress.seen = 0.0, 0
        self._save_state(torch.tensor(0.0))
        self._write_history()

    def _validate(self, stop: StopRequest) -> float:
        """Mean absolute error in years over the validation part, shared by the processes."""
        network = self.average or self.network.eval()
        rows = self.fold.validation[self.rank :: self.world]
        training = self.recipe.training
        probabilities = predict_store(
            network,
            self.card(None),
            self.store,
            rows,
            self.device,
            training.batch,
            training.mirror_average,
            training.workers,
            between=stop.check,
            patches=self.patches,
        )
        ages = probabilities.astype(np.float64) @ network.ages.double().cpu().numpy()
        error = torch.tensor(np.abs(ages - self.store.ages[rows]).sum(), device=self.device)
        if self.world > 1:
            error = self.accelerator.reduce(error, "sum")
        return float(error) / len(self.fold.validation)

    def _agree(self, requested: bool) -> bool:
        """Whether any process was asked to stop; they look together, every few steps."""
        if self.world == 1:
            return requested
        if self.progress.step % SHOW_EVERY and self.progress.step < self.batches.steps:
            return False
        asked = torch.tensor(float(requested), device=self.device)
        return float(self.accelerator.reduce(asked, "sum")) > 0

    def _save_state(self, total: Tensor) -> None:
        progress = self.progress
        progress.loss_sum = float(total)
        self._check_finite(progress.loss_sum)
        if not self.main:
            return
        tensors = {f"model/{n}": t for n, t in self.network.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average/{n}": t for n, t in self.average.state_dict().items()}
        memory = optimizer_tensors(self.network, self.optimizer)
        tensors |= {f"optimizer/{n}": t for n, t in memory.items()}
        header = {"kind": "state", "progress": asdict(progress)}
        write_tensors(self.folder / STATE_FILE, tensors, header)

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise WrinkleError(
                f"the loss is {loss} in epoch {self.progress.epoch + 1}, step {self.progress.step}:"
                " lower optimizer.lr, add schedule.warmup_epochs or set training.clip"
            )

    def _save_model(self, score: float | None) -> None:
        if self.main:
            save_model(self.folder / MODEL_FILE, self.average or self.network, self.card(score))

    def card(self, score: float | None) -> dict[str, Any]:
        """Header of the model file: what the model is, what it wants, where it comes from."""
        recipe, fold, network = self.recipe, self.fold, self.network
        return {
            "model": {
                "name": recipe.model.name,
                "fields": {**recipe.model.fields, "input_size": recipe.input.size},
            },
            "input": {
                "size": recipe.input.size,
                "zoom": recipe.input.zoom,
                "crop": self.store.size,
                "mean": list(network.mean),
                "std": list(network.std),
                "template": TEMPLATE_VERSION,
            },
            "ages": network.ages.tolist(),
            "provenance": {
                "recipe": recipe.to_yaml(),
                "data": self.store.info.get("dataset"),
                "fingerprint": self.store.fingerprint,
                "split": recipe.data.protocol,
                "fold": fold.name,
                "pictures": {
                    "train": len(fold.train),
                    "validation": len(fold.validation),
                    "test": len(fold.test),
                },
                "start": recipe.init,
                "seed": recipe.training.seed,
                "epochs": self.progress.epoch + 1,
                "scores": {} if score is None else {"validation_mae": score},
                "device": device_name(self.device),
            },
        }

    def _write_history(self) -> None:
        if not self.main:
            return
        text = io.StringIO()
        table = csv.DictWriter(text, list(self.progress.history[0]))
        table.writeheader()
        table.writerows(self.progress.history)
        replace_file(self.folder / HISTORY_FILE, text.getvalue().encode())

    @contextmanager
    def _writer(self, first_step: int) -> Iterator[SummaryWriter | None]:
        if not self.main:
            yield None
            return
        with SummaryWriter(str(self.folder / "tensorboard"), purge_step=first_step) as writer:
            yield writer

    def _bar(self) -> tqdm:
        rows, training = len(self.fold.train), self.recipe.training
        return tqdm(
            total=rows * training.epochs,
            initial=rows * self.progress.epoch + self.progress.seen,
            unit="img",
            disable=not self.main,
            mininterval=0.5 if sys.stderr.isatty() else 30,
            dynamic_ncols=True,
        )

    def _show(self, bar: tqdm, writer: SummaryWriter | None, loss: float) -> None:
        self._check_finite(loss)
        progress, steps = self.progress, self.batches.steps
        epochs = self.recipe.training.epochs
        bar.set_description(
            f"{self.fold.name}: epoch {progress.epoch + 1}/{epochs} step {progress.step}/{steps}",
            refresh=False,
        )
        bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        if writer is not None:
            step = progress.epoch * steps + progress.step
            writer.add_scalar("train/loss", loss, step)
            writer.add_scalar("train/lr", self.optimizer.param_groups[0]["lr"], step)


def build_network(
    recipe: recipe.Recipe, started: bool = False, first: Path | None = None
) -> AgeModel:
    """The network of a recipe as training starts from it; `started`: its weights come from a state.

    first: model file of the first stage; None: it is still to be trained. WrinkleError for whatever
    does not fit together.
    """
    torch.manual_seed(recipe.training.seed)
    network = create_network(recipe)
    if network.zoom not in (None, recipe.input.zoom):
        raise WrinkleError(
            f"input.zoom is {recipe.input.zoom:g}; this {recipe.model.name} is for {network.zoom:g}"
        )
    create_loss(recipe.loss, network)
    if first is None:
        check_first_stage(recipe, network)
    if recipe.init != "none" and not started:
        load_initial(network, recipe.init, recipe.init_classifier)
    if first is not None and not started:
        load_initial(network, str(first))
    return network


@torch.inference_mode()
def try_out(recipe: recipe.Recipe) -> None:
    """The recipe's start, network and loss on a blank face; WrinkleError for what does not fit."""
    network = build_network(recipe).eval()
    size, zero = recipe.input.size, torch.zeros(1)
    points = torch.tensor(TEMPLATE[None], dtype=torch.float32)
    output = network(torch.zeros(1, 3, size, size), points)
    blank = Item(zero, zero, points, zero, zero, zero)
    create_loss(recipe.loss, network)(output, blank, network.ages)


def create_network(recipe: recipe.Recipe) -> AgeModel:
    return create_model(
        recipe.model.name, **{**recipe.model.fields, "input_size": recipe.input.size}
    )


def check_first_stage(recipe: recipe.Recipe, network: AgeModel) -> None:
    """WrinkleError unless the recipe brings the trained network that `network` is built upon."""
    name, first = network.first_stage, recipe.first
    if name is None and first is not None:
        raise WrinkleError(f"{recipe.model.name} is trained in one stage: leave out `first`")
    if name is None:
        return
    if first is None:
        if recipe.init == "none":
            raise WrinkleError(
                f"{recipe.model.name} is built upon a trained {name}: name its recipe as `first`, "
                "or its model file as `init`"
            )
        return
    if first.model.name != name:
        raise WrinkleError(f"first: {first.model.name} is trained there, {name} is needed")
    with torch.random.fork_rng():
        trial = create_network(recipe)
        fill(trial, create_network(first).state_dict(), f"the first stage, {first.name},")


def create_loss(choice: recipe.Loss, network: AgeModel) -> Callable[[Output, Item, Tensor], Tensor]:
    """Function of a network's output, batch and ages (A,) → mean loss; the fields are checked here.

    What a loss takes beside logits and labels is a field of the recipe, or of the output's
    `auxiliary`.
    """
    function = LOSSES[choice.name]
    parameters = inspect.signature(function).parameters
    from_data = ("logits", "age", "ages", "deviation")
    from_network = [name for name in parameters if name in AUXILIARY]
    known = [name for name in parameters if name not in (*from_data, *from_network)]
    for name in choice.fields:
        if name not in known:
            raise WrinkleError(f"unknown field loss.{name}; choices: {', '.join(known) or 'none'}")
    for name in from_network:
        if name not in network.auxiliary:
            raise WrinkleError(
                f"loss '{choice.name}' is for {AUXILIARY[name]}, and this model has none"
            )
    if "sub_logits" in network.auxiliary and "sub_logits" not in from_network:
        raise WrinkleError(
            f"loss '{choice.name}' would leave the sub-networks' classifiers untrained: "
            "loss.name=dhaa, or model.sub_losses=false"
        )

    def loss(output: Output, batch: Item, ages: Tensor) -> Tensor:
        given = {name: output.auxiliary[name].float() for name in from_network}
        if "deviation" in parameters:
            given["deviation"] = batch.deviation
        value: Tensor = function(output.logits.float(), batch.age, ages, **choice.fields, **given)
        return value

    return loss


def step_seed(seed: int, step: int, rank: int) -> int:
    """Seed of torch's random numbers (dropout) in one step of one process."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0])


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """average ← decay · average + (1 − decay) · network; counters are copied."""
    new = network.state_dict()
    for name, tensor in average.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(new[name], 1 - decay)
        else:
            tensor.copy_(new[name])


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
