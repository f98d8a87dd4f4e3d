"""From the packed store to the network's input: crops, one affine matrix each, batches in order.

Order and augmentation are pure functions of (seed, epoch, row): an epoch is the same with any
number of workers or processes and after any restart.
"""

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from wrinkle.datasets import MAX_AGE
from wrinkle.datasets.augment import (
    Augment,
    black_outside,
    draw_motion,
    generator,
    mirror_matrix,
    vary_pixels,
)
from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.faces.align import MIRRORED, compose, invert, transform
from wrinkle.faces.input import InputSpec

GRACE = 5
"""Seconds that a worker lives on after SIGTERM, in which the main process stops in order."""
STILL = np.eye(2, 3)


class Item(NamedTuple):
    """One face; a batch of faces has a leading dimension B on everything.

    Attributes:
        crop: (S, S, 3) uint8 RGB.
        matrix: (2, 3) float64, crop pixels → input pixels.
        key_points: (5, 2) float32 in [−1, 1] of the input.
        age, deviation: float32 years; a label without deviation has NaN.
        ranges: (2,) float32 years, first and last of the label's range; NaN where it has none.
        exact: bool, whether the age is known; else it is the middle of the range.
        extras: what the network computed once for this row, by name: (2, …), of the row's plain
            view and of its mirror image; empty where nothing was computed.
        teacher: (A,) float32, the teachers' distribution; (0,) where there are no teachers.
        side: 0 where the input shows the plain view, 1 where it shows the mirror image.
        motion: (2, 3) float32 map from that view to the input, both in [−1, 1].
    """

    crop: Tensor
    matrix: Tensor
    key_points: Tensor
    age: Tensor
    deviation: Tensor
    ranges: Tensor
    exact: Tensor
    extras: dict[str, Tensor]
    teacher: Tensor
    side: Tensor
    motion: Tensor

    def to(self, device: torch.device) -> "Item":
        """The same on a device."""

        def sent(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        extras = {name: sent(value) for name, value in self.extras.items()}
        moved = {n: sent(t) for n, t in self._asdict().items() if n != "extras"}
        return Item(**moved, extras=extras)


class Draw(NamedTuple):
    """A row of the store at one place of an epoch; `draw` counts its earlier places there."""

    epoch: int
    row: int
    draw: int


class Faces(Dataset[Item]):
    """Rows of a store as a network's input; randomly varied where `augment` is given.

    Args:
        spec: what the network expects to see.
        extras: what the network computed for all N rows of the store, by name, each (N, 2, …).

    Attributes:
        teacher: (N, A) float32, the teachers' distributions for all rows of the store; A is 0 where
            there are no teachers.
    """

    def __init__(
        self,
        store: Store,
        spec: InputSpec,
        augment: Augment | None = None,
        seed: int = 0,
        extras: dict[str, np.ndarray] | None = None,
    ) -> None:
        self.store, self.spec, self.augment, self.seed = store, spec, augment, seed
        self.extras = extras or {}
        self.teacher = np.zeros((len(store), 0), np.float32)
        self.key_points = np.asarray(store.key_points, np.float64)
        self.views = spec.matrices(self.key_points)
        self.ages = np.asarray(store.ages, np.float32)
        deviations = store.columns["age_deviation"].to_numpy(zero_copy_only=False)
        self.deviations = deviations.astype(np.float32)
        self.ranges, self.exact = store.ranges, store.exact

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, draw: Draw) -> Item:
        row = draw.row
        crop, matrix, mirrored = self.store.image(row), self.views[row], False
        motion = STILL
        if self.augment is not None:
            random = generator(self.seed, *draw)
            motion, mirrored = draw_motion(random, self.augment, self.spec.size)
            if self.augment.zero_padding:
                crop = black_outside(crop, matrix, self.spec.size)
            matrix = compose(motion, matrix)
            crop = vary_pixels(random, self.augment.photometric, crop)
        points = transform(matrix, self.key_points[row])
        if mirrored:
            points = points[MIRRORED]
        motion = normalised_motion(motion, mirrored, self.spec.size)
        return Item(
            torch.from_numpy(np.ascontiguousarray(crop)),
            torch.from_numpy(matrix),
            torch.from_numpy(self.spec.normalised(points)),
            torch.tensor(self.ages[row]),
            torch.tensor(self.deviations[row]),
            torch.from_numpy(self.ranges[row]),
            torch.tensor(self.exact[row]),
            {name: torch.from_numpy(values[row]) for name, values in self.extras.items()},
            torch.from_numpy(self.teacher[row]),
            torch.tensor(int(mirrored)),
            torch.from_numpy(motion.astype(np.float32)),
        )


def normalised_motion(motion: np.ndarray, mirrored: bool, size: int) -> np.ndarray:
    """A motion (2, 3) of the plain view in pixels → (2, 3) in [−1, 1], of the mirror image where
    the motion has mirrored the view."""
    if mirrored:
        motion = compose(motion, mirror_matrix(size))
    to_pixels = np.array([[size / 2, 0, size / 2], [0, size / 2, size / 2]])
    return compose(invert(to_pixels), compose(motion, to_pixels))


def balance_weights(ages: np.ndarray, exponent: float) -> np.ndarray:
    """Chance of each row, (N,) float64 with mean 1: (1 / frequency of its age)^exponent.

    ages: (N,) years. Frequencies are smoothed over neighbouring ages (Gaussian, 2 years), so that
    a single picture of a rare age does not fill the epoch.
    """
    years = np.rint(ages).astype(int)
    counts = np.bincount(years, minlength=MAX_AGE + 1).astype(float)
    distance = np.arange(len(counts))[:, None] - np.arange(len(counts))
    kernel = np.exp(-(distance**2) / (2 * 2.0**2))
    frequency = kernel @ counts / kernel.sum(1)
    weights: np.ndarray = (1 / frequency[years]) ** exponent
    weights /= weights.mean()
    return weights


class EpochBatches(Sampler[list[Draw]]):
    """Batches of one process in one epoch, from any step on.

    An epoch has as many draws as there are rows, in ⌈rows / batch⌉ steps whose sizes differ by one
    at most, so that no step rests on a handful of pictures. Each step's draws are split over the
    processes. Draws follow the weights as evenly as whole numbers can (systematic sampling): with
    equal weights every row comes exactly once.
    """

    def __init__(
        self,
        rows: np.ndarray,
        weights: np.ndarray,
        batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.rows, self.weights, self.seed = rows, weights, seed
        self.rank, self.world = rank, world
        self.steps = -(-len(rows) // batch)
        if len(rows) // max(self.steps, 1) < max(world, 1):
            raise WrinkleError(
                f"{len(rows)} training pictures in batches of {batch} are too few for {world}"
                " processes"
            )
        self.epoch, self.first_step = 0, 0

    def start(self, epoch: int, step: int = 0) -> None:
        """The next iteration gives epoch `epoch` from step `step` on."""
        self.epoch, self.first_step = epoch, step

    def order(self, epoch: int) -> np.ndarray:
        """Rows of a whole epoch in order, (N,) int64, over all processes."""
        # Draws count from 0 and use the last word for the epoch: the top value stays free.
        random = generator(self.seed, epoch, 2**63, 0)
        shuffled = random.permutation(len(self.rows))
        edges = np.cumsum(self.weights[shuffled])
        places = (np.arange(len(edges)) + random.random()) / len(edges) * edges[-1]
        chosen = np.minimum(np.searchsorted(edges, places, side="right"), len(edges) - 1)
        return self.rows[shuffled[random.permutation(chosen)]]

    def step_size(self, step: int) -> int:
        """Draws in a step, over all processes."""
        full, more = divmod(len(self.rows), self.steps)
        return full + (step < more)

    def __len__(self) -> int:
        return self.steps - self.first_step

    def __iter__(self) -> Iterator[list[Draw]]:
        seen: Counter[int] = Counter()
        draws = []
        for row in self.order(self.epoch).tolist():
            draws.append(Draw(self.epoch, row, seen[row]))
            seen[row] += 1
        ends = np.cumsum([self.step_size(step) for step in range(self.steps)]).tolist()
        for step in range(self.first_step, self.steps):
            first = ends[step - 1] if step else 0
            yield draws[first : ends[step]][self.rank :: self.world]


def create_loader(
    faces: Faces, batches: Iterable[list[Draw]], workers: int, device: torch.device
) -> DataLoader[Item]:
    """Batches of stacked tensors, in the sampler's order; iterate with `read_batches`."""
    return DataLoader(
        faces,
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
        worker_init_fn=partial(_start_worker, os.getpid()),
        prefetch_factor=4 if workers else None,
    )


def read_batches(loader: DataLoader[Item], device: torch.device) -> Iterator[Item]:
    """A loader's batches on a device."""
    try:
        for batch in loader:
            yield batch.to(device)
    except WrinkleError as error:
        # From a worker it arrives with the worker's traceback before it.
        line = str(error).strip().splitlines()[-1]
        raise WrinkleError(line.split("WrinkleError: ")[-1]) from error


def _start_worker(parent: int, worker: int) -> None:
    # Ctrl-C and SIGTERM may reach the whole process group; only the main process knows how to stop
    # in order. Workers end when it does, or some seconds after a SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE))
    # torch watches the parent from here on, which is too late if it was killed just now. Under
    # forkserver the parent is the server.
    if multiprocessing.get_start_method() != "forkserver" and os.getppid() != parent:
        os._exit(1)
    # Workers are the parallelism; threads of theirs would take the network's cores.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
