"""Logs of a run: progress bar, TensorBoard, history.csv."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from wrinkle.console import progress
from wrinkle.files import replace_file
from wrinkle.runs.folder import HISTORY_FILE

Losses = Mapping[str, float]
"""Name → mean over an epoch so far: "loss", and each of its terms."""


class Log:
    """Progress of one fold, shown and written by the main process only.

    Args:
        folder: of the fold.
        fold: its name.
        pictures: training pictures in an epoch.
        epochs: number of epochs.
        done: pictures that were trained on before the run was stopped.
        first_step: step from which TensorBoard's events are replaced.
        active: whether this is the main process.
    """

    def __init__(
        self,
        folder: Path,
        fold: str,
        pictures: int,
        epochs: int,
        done: int,
        first_step: int,
        active: bool,
    ) -> None:
        self.folder, self.fold, self.epochs, self.active = folder, fold, epochs, active
        self.writer: SummaryWriter | None = None
        if active:
            self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)
        self.bar = progress(
            unit="img", total=pictures * epochs, initial=done, shown=active, keep=True
        )

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
        if self.writer is not None:
            self.writer.close()

    def step(self, epoch: int, step: int, steps: int, losses: Losses, rate: float) -> None:
        """Show and log the progress.

        Args:
            epoch: number of the epoch from 0.
            step: finished steps of this epoch.
            steps: steps in an epoch.
            losses: so far.
            rate: the learning rate of the first parameter group.
        """
        position = f"{self.fold}: epoch {epoch + 1}/{self.epochs} step {step}/{steps}"
        self.bar.set_description(position, refresh=False)
        self.bar.set_postfix(loss=f"{losses['loss']:.4f}", refresh=False)
        if self.writer is not None:
            for name, value in losses.items():
                self.writer.add_scalar(f"train/{name}", value, epoch * steps + step)
            self.writer.add_scalar("train/lr", rate, epoch * steps + step)

    def validated(self, mae: float, step: int) -> None:
        """Log a validation.

        Args:
            mae: mean absolute error, years.
            step: finished steps over all epochs.
        """
        if self.writer is not None:
            self.writer.add_scalar("validation/mae", mae, step)

    def write_history(self, history: Sequence[Mapping[str, float | None]]) -> None:
        """Write history.csv, a line for each finished epoch."""
        if not self.active:
            return
        text = io.StringIO()
        table = csv.DictWriter(text, list(history[0]))
        table.writeheader()
        table.writerows(history)
        replace_file(self.folder / HISTORY_FILE, text.getvalue().encode())
