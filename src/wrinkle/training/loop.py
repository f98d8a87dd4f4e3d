"""The training loop: one fold of one recipe, on one CPU, one GPU or many processes.

All random numbers are functions of (seed, step), and a state file holds everything else. A run that
was stopped at any point therefore continues with the same results, on a CPU to the last bit.
Several processes divide each batch and compute the same as one process up to rounding, batch norm
included; only dropout draws different numbers in each process.
"""

import time
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

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
from wrinkle.faces.input import InputSpec
from wrinkle.inference.predict_store import predict_store
from wrinkle.models import AgeModel
from wrinkle.models.file import save_model
from wrinkle.protocols import Fold
from wrinkle.runs.data import draw_weights
from wrinkle.runs.folder import MODEL_FILE
from wrinkle.runs.recipe import Recipe
from wrinkle.training.batch_norm import share_batch_norm
from wrinkle.training.card import model_card
from wrinkle.training.ema import decay_at, update_average
from wrinkle.training.extras import ensure_extras, has_row_extras, plain_views, read_extras
from wrinkle.training.log import Log
from wrinkle.training.network import build_network, frozen_parts, has_after_epoch
from wrinkle.training.optim import (
    create_optimizer,
    head_steps,
    learning_rate_factor,
    set_learning_rate,
)
from wrinkle.training.state import optimizer_tensors, read_state, restore_optimizer, write_state
from wrinkle.training.stop import Stopped, StopRequest
from wrinkle.training.task import Task, step_seed
from wrinkle.training.teachers import ensure_teachers, read_teachers

SHOW_EVERY = 10
"""Steps between reports of the loss, because each report waits for the GPU."""


class Trainer:
    """Training of one fold of a recipe, resumed from the state file if there is one.

    Args:
        recipe: what to train.
        store: the faces.
        fold: with the rows that the run uses.
        folder: of the fold.
        accelerator: of this process.
        first: model file of the recipe's first stage, if it has one.
    """

    def __init__(
        self,
        recipe: Recipe,
        store: Store,
        fold: Fold,
        folder: Path,
        accelerator: Accelerator,
        first: Path | None = None,
    ) -> None:
        self.recipe, self.store, self.fold, self.folder = recipe, store, fold, folder
        self.accelerator, self.device = accelerator, accelerator.device
        self.world, self.rank = accelerator.num_processes, accelerator.process_index
        self.main = accelerator.is_main_process
        self.progress, self.state = read_state(folder)
        self.network = build_network(recipe, bool(self.state), first).to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.state:
            self.network.load_state_dict(self.state["model"])
        self.spec = InputSpec(
            recipe.input.size, recipe.input.zoom, store.size, self.network.mean, self.network.std
        )
        self._build_data()

    def _build_data(self) -> None:
        training = self.recipe.training
        self.faces = Faces(self.store, self.spec, self.recipe.augment, training.seed)
        weights = balance_weights(self.store.ages[self.fold.train], training.balance)
        weights *= draw_weights(self.recipe.data, self.store)[self.fold.train]
        self.batches = EpochBatches(
            self.fold.train, weights, training.batch, training.seed, self.rank, self.world
        )
        self.loader = create_loader(self.faces, self.batches, training.workers, self.device)

    def train(self) -> None:
        """Train to the last epoch; the chosen model is saved in the folder.

        Raises:
            Stopped: on Ctrl-C or SIGTERM, after the state is written.
            WrinkleError: the loss is not finite.
        """
        epochs, progress = self.recipe.training.epochs, self.progress
        pictures = len(self.fold.train)
        log = Log(
            self.folder,
            self.fold.name,
            pictures,
            epochs,
            done=pictures * progress.epoch + progress.seen,
            first_step=progress.epoch * self.batches.steps + progress.step,
            active=self.main,
        )
        with StopRequest() as self.stop, log as self.log:
            try:
                self._start()
                while progress.epoch < epochs:
                    self._train_epoch()
                    self._end_epoch()
            except KeyboardInterrupt as error:
                # The traceback would keep the loader alive, whose processes then end with an error.
                del self.loader
                raise Stopped(
                    f"stopped in epoch {progress.epoch + 1} of {epochs}, fold {self.fold.name}: "
                    "run the same command again to continue",
                    self.stop.signal,
                ) from error.with_traceback(None)

    def _start(self) -> None:
        """Call the network's hooks, then create what a step needs."""
        training = self.recipe.training
        self._prepare_network()
        self.average: AgeModel | None = None
        if training.ema is not None:
            self.average = deepcopy(self.network).requires_grad_(False).eval()
            if self.state:
                self.average.load_state_dict(self.state["average"])
        if self.world > 1:
            share_batch_norm(self.network, self.device)
        self.optimizer = create_optimizer(self.network, self.recipe.optimizer)
        restore_optimizer(self.network, self.optimizer, self.state.get("optimizer", {}))
        # In a distributed run this also copies the main process's weights to the others.
        self.model, self.stepper = self.accelerator.prepare(self.network, self.optimizer)
        if self.average is not None and self.world > 1 and not self.state:
            self.average.load_state_dict(self.network.state_dict())
        loss, bf16 = self.recipe.create_loss(), training.precision == "bf16"
        self.task = Task(self.network, loss, self.spec, bf16, self.recipe.augment.style)
        # Raw outputs and labels of this epoch so far, for `after_epoch`.
        self.keeps_raw = has_after_epoch(self.network)
        if self.keeps_raw and self.world > 1:
            raise WrinkleError(
                f"{self.recipe.model.name} has an update after each epoch (after_epoch), which "
                "works in one process only: start it without `accelerate launch`"
            )
        kept = self.state.get("epoch", {})
        self.raws, self.labels = ([kept[n]] if kept else [] for n in ("raw", "ages"))
        self.state = {}

    def _prepare_network(self) -> None:
        """Call `before_training`, `row_extras` and the teachers, in the main process."""
        network, fold, check = self.network, self.fold, self.stop.check
        faces = partial(plain_views, self.store, spec=self.spec, device=self.device)
        views = partial(faces, workers=self.recipe.training.workers, between=check)
        if self.main and not self.state:
            ages = torch.from_numpy(np.asarray(self.store.ages)[fold.train])
            network.before_training(views(fold.train, what="before training"), ages)
        self.extras: dict[str, np.ndarray] | None = None
        if has_row_extras(network):
            rows = np.union1d(fold.train, fold.validation)
            if self.main:
                ensure_extras(self.folder, rows, network, views(rows, what="row extras"))
            self.accelerator.wait_for_everyone()
            self.extras = self.faces.extras = read_extras(self.folder, len(self.store))
        if self.recipe.teachers:
            if self.main:
                given = self.recipe, self.store, fold.train, self.device, check
                ensure_teachers(self.folder, *given)
            self.accelerator.wait_for_everyone()
            self.faces.teacher = read_teachers(self.folder, len(self.store))

    def _train_epoch(self) -> None:
        training, progress = self.recipe.training, self.progress
        started, seen_before = time.perf_counter(), progress.seen
        self.totals = {
            name: torch.tensor(value, dtype=torch.float64, device=self.device)
            for name, value in progress.sums.items()
        }
        self.model.train()
        for part in frozen_parts(self.network, training.frozen):
            part.eval()
        self.batches.start(progress.epoch, progress.step)
        for batch in read_batches(self.loader, self.device):
            size = self.batches.step_size(progress.step)
            for name, value in self._step(batch, size).items():
                self.totals[name] = self.totals.get(name, 0.0) + value.double() * size
            progress.step += 1
            progress.seen += size
            self.log.bar.update(size)
            if progress.step % SHOW_EVERY == 0 or progress.step == self.batches.steps:
                self._show()
            if self._any_process(self.stop.requested):
                self._save_state()
                raise KeyboardInterrupt
            if progress.step % training.checkpoint_every_steps == 0:
                self._save_state()
        self._save_state()
        self.speed = (progress.seen - seen_before) / (time.perf_counter() - started)

    def _step(self, batch: Item, size: int) -> dict[str, Tensor]:
        """One step on this process's share of a batch of `size` → mean losses of the full batch."""
        steps, training = self.batches.steps, self.recipe.training
        step = self.progress.epoch * steps + self.progress.step
        torch.manual_seed(step_seed(training.seed, step, self.rank))
        factor = learning_rate_factor(self.recipe.schedule, training.epochs, steps, step)
        alone = step < head_steps(self.recipe.schedule, steps)
        set_learning_rate(self.optimizer, factor, alone)
        result = self.task(self.model, batch)
        # Gradients are averaged over processes, so each is weighted by its share of the batch.
        share = len(batch.age) * self.world / size
        self.stepper.zero_grad()
        self.accelerator.backward(result.loss * share)
        if training.clip is not None:
            self.accelerator.clip_grad_norm_(self.network.parameters(), training.clip)
        self.stepper.step()
        if self.average is not None and training.ema is not None:
            update_average(self.average, self.network, decay_at(training.ema, step))
        if self.keeps_raw:
            self.raws.append(result.raw.detach())
            self.labels.append(batch.age)
        terms = result.terms if len(result.terms) > 1 else {}
        losses = {n: v.detach() * share for n, v in {"loss": result.loss, **terms}.items()}
        if self.world > 1:
            losses = {n: self.accelerator.reduce(v, "mean") for n, v in losses.items()}
        return losses

    def _end_epoch(self) -> None:
        """Call `after_epoch`, validate, save the model if it is chosen, and write the state."""
        training, progress = self.recipe.training, self.progress
        if self.keeps_raw:
            for network in filter(None, (self.network, self.average)):
                network.after_epoch(torch.cat(self.raws), torch.cat(self.labels))
            self.raws, self.labels = [], []
        last = progress.epoch + 1 == training.epochs
        score = None
        due = last or (progress.epoch + 1) % training.validate_every == 0
        if due and len(self.fold.validation):
            score = self._validate()
        progress.history.append(
            {
                "epoch": progress.epoch + 1,
                **self._means(),
                "validation_mae": score,
                "images_per_second": round(self.speed, 1),
            }
        )
        better = score is not None and (progress.best is None or score < progress.best)
        if better:
            progress.best = score
        if last if training.choose == "last" else better:
            self._save_model(score)
        if score is not None:
            self.log.validated(score, (progress.epoch + 1) * self.batches.steps)
        progress.epoch, progress.step = progress.epoch + 1, 0
        self.totals, progress.seen = {}, 0
        self._save_state()
        self.log.write_history(progress.history)

    def _validate(self) -> float:
        """Mean of `Store.errors` on the validation part, which the processes divide."""
        rows, training = self.fold.validation[self.rank :: self.world], self.recipe.training
        found = predict_store(
            self.average or self.network.eval(),
            self.spec,
            self.store,
            rows,
            self.device,
            training.batch,
            training.mirror_average,
            training.workers,
            between=self.stop.check,
            extras=self.extras,
        )
        errors = self.store.errors(rows, found.age.astype(np.float64))
        total = torch.tensor(errors.sum(), device=self.device)
        if self.world > 1:
            total = self.accelerator.reduce(total, "sum")
        return float(total) / len(self.fold.validation)

    def _any_process(self, requested: bool) -> bool:
        """Whether any process was asked to stop; processes communicate every few steps only."""
        if self.world == 1:
            return requested
        if self.progress.step % SHOW_EVERY and self.progress.step < self.batches.steps:
            return False
        asked = torch.tensor(float(requested), device=self.device)
        return float(self.accelerator.reduce(asked, "sum")) > 0

    def _save_state(self) -> None:
        progress = self.progress
        progress.sums = {name: float(total) for name, total in self.totals.items()}
        progress.check_finite(progress.sums.get("loss", 0.0))
        if not self.main:
            return
        parts = {
            "model": self.network.state_dict(),
            "optimizer": optimizer_tensors(self.network, self.optimizer),
        }
        if self.average is not None:
            parts["average"] = self.average.state_dict()
        if self.raws:
            parts["epoch"] = {"raw": torch.cat(self.raws), "ages": torch.cat(self.labels)}
        write_state(self.folder, progress, parts)

    def _save_model(self, score: float | None) -> None:
        if self.main:
            card = model_card(
                self.recipe,
                self.network,
                self.spec,
                self.store,
                self.fold,
                self.progress.epoch + 1,
                self.device,
                score,
            )
            save_model(self.folder / MODEL_FILE, self.average or self.network, card)

    def _means(self) -> dict[str, float]:
        """Loss and terms of this epoch so far, mean over its pictures."""
        return {name: float(total) / self.progress.seen for name, total in self.totals.items()}

    def _show(self) -> None:
        means, progress = self._means(), self.progress
        progress.check_finite(means["loss"])
        rate = self.optimizer.param_groups[0]["lr"]
        self.log.step(progress.epoch, progress.step, self.batches.steps, means, rate)
