"""From the packed store to the network's input: crops, one affine matrix each, batches in order.

Order and augmentation are pure functions of (seed, epoch, row): an epoch is the same with any
number of workers or processes and after any restart.
"""

import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from wrinkle.datasets import MAX_AGE
from wrinkle.datasets.augment import draw_motion, generator, mirror_matrix, vary_pixels
from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.faces.align import MIRRORED, compose, invert, transform, view_matrix
from wrinkle.layers import patch_maps
from wrinkle.runs import recipe

NO_PATCHES = np.zeros((0, 0, 2, 3))


class Item(NamedTuple):
    """One face; a batch of faces has a leading dimension B on everything.

    crop: (S, S, 3) uint8 RGB. matrix: (2, 3) float64, crop pixels → input pixels.
    key_points: (5, 2) float32 in [−1, 1] of the input. age, deviation: float32 years; a label
    without deviation has NaN. patches: (k, n, 2, 3) float32, maps from n patches' coordinates to
    the input's, both in [−1, 1]; k is 1 for a varied view, 2 for a plain one (itself and its mirror
    picture), 0 for a network that looks at no patches, or where they are not known.
    """

    crop: Tensor
    matrix: Tensor
    key_points: Tensor
    age: Tensor
    deviation: Tensor
    patches: Tensor

    def to(self, device: torch.device) -> "Item":
        return Item(*(tensor.to(device, non_blocking=True) for tensor in self))


class Draw(NamedTuple):
    """A row of the store at one place of an epoch; `draw` counts its earlier places there."""

    epoch: int
    row: int
    draw: int


class Faces(Dataset[Item]):
    """Rows of a store as a network's input; randomly varied where `augment` is given.

    patches: (N, 2, n, 4), boxes in [−1, 1] in every row's plain view and in its mirror picture, of
    a network that looks at patches; what varies the face moves them along.
    """

    def __init__(
        self,
        store: Store,
        size: int,
        zoom: float,
        augment: recipe.Augment | None = None,
        seed: int = 0,
        patches: np.ndarray | None = None,
    ) -> None:
        self.store, self.size, self.augment, self.seed = store, size, augment, seed
        self.patches = patches
        self.key_points = np.asarray(store.key_points, np.float64)
        self.views = view_matrix(self.key_points, size, zoom)
        self.ages = np.asarray(store.ages, np.float32)
        deviations = store.columns["age_deviation"].to_numpy(zero_copy_only=False)
        self.deviations = deviations.astype(np.float32)

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, draw: Draw) -> Item:
        row = draw.row
        crop, matrix, mirrored = self.store.image(row), self.views[row], False
        patches = NO_PATCHES
        if self.patches is not None:
            patches = patch_maps(torch.from_numpy(self.patches[row])).double().numpy()
        if self.augment is not None:
            random = generator(self.seed, *draw)
            motion, mirrored = draw_motion(random, self.augment, self.size)
            matrix = compose(motion, matrix)
            crop = vary_pixels(random, self.augment.photometric, crop)
            if self.patches is not None:
                patches = moved_patches(patches, motion, mirrored, self.size)
        points = transform(matrix, self.key_points[row])
        if mirrored:
            points = points[MIRRORED]
        points = points * 2 / self.size - 1
        return Item(
            torch.from_numpy(np.ascontiguousarray(crop)),
            torch.from_numpy(matrix),
            torch.from_numpy(points.astype(np.float32)),
            torch.tensor(self.ages[row]),
            torch.tensor(self.deviations[row]),
            torch.from_numpy(patches.astype(np.float32)),
        )


def moved_patches(patches: np.ndarray, motion: np.ndarray, mirrored: bool, size: int) -> np.ndarray:
    """Maps (2, n, 2, 3) of patches in a plain view and its mirror picture → (1, n, 2, 3) in the
    view after `motion` (2, 3), which is in pixels and has mirrored it or not."""
    if mirrored:
        motion = compose(motion, mirror_matrix(size))  # from the mirror picture on
    to_pixels = np.array([[size / 2, 0, size / 2], [0, size / 2, size / 2]])
    motion = compose(invert(to_pixels), compose(motion, to_pixels))
    return compose(motion, patches[None, int(mirrored)])


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
    weights = (1 / frequency[years]) ** exponent
    return weights / weights.mean()


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
        batch_sampler=batches,  # type: ignore[arg-type]
        num_workers=workers,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
        worker_init_fn=_start_worker,
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


def _start_worker(worker: int) -> None:
    # Ctrl-C reaches the whole process group; only the main process knows how to stop in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Workers are the parallelism; threads of theirs would take the network's cores.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
