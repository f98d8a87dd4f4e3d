"""What a run tells of itself while it trains: a progress bar, TensorBoard, history.csv."""

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from wrinkle.files import replace_file
from wrinkle.runs.folder import HISTORY_FILE

Losses = Mapping[str, float]
"""The loss under "loss", and each of its terms by name: means over an epoch so far."""


class Log:
    """Progress of one fold; silent in all processes but the main one.

    Args:
        folder: the fold's.
        fold: its name.
        pictures: training pictures in an epoch.
        done: pictures that earlier sessions of the run trained on.
        first_step: step from which TensorBoard's events are replaced.
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
        self.bar = tqdm(
            total=pictures * epochs,
            initial=done,
            unit="img",
            disable=not active,
            mininterval=0.5 if sys.stderr.isatty() else 30,
            dynamic_ncols=True,
        )

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
        if self.writer is not None:
            self.writer.close()

    def step(self, epoch: int, step: int, steps: int, losses: Losses, rate: float) -> None:
        """Show where the run is.

        Args:
            epoch: 0-based.
            step: finished steps of this epoch, of `steps`.
            rate: the learning rate of the first group of parameters.
        """
        where = f"{self.fold}: epoch {epoch + 1}/{self.epochs} step {step}/{steps}"
        self.bar.set_description(where, refresh=False)
        self.bar.set_postfix(loss=f"{losses['loss']:.4f}", refresh=False)
        if self.writer is not None:
            for name, value in losses.items():
                self.writer.add_scalar(f"train/{name}", value, epoch * steps + step)
            self.writer.add_scalar("train/lr", rate, epoch * steps + step)

    def validated(self, mae: float, step: int) -> None:
        """Note a validation's mean absolute error in years."""
        if self.writer is not None:
            self.writer.add_scalar("validation/mae", mae, step)

    def write_history(self, history: Sequence[Mapping[str, float | None]]) -> None:
        """Write a line for each finished epoch."""
        if not self.active:
            return
        text = io.StringIO()
        table = csv.DictWriter(text, list(history[0]))
        table.writeheader()
        table.writerows(history)
        replace_file(self.folder / HISTORY_FILE, text.getvalue().encode())
