"""What a network computes once for each row before training, kept in a file beside its state."""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from wrinkle.datasets.loader import Draw, Faces, create_loader, read_batches
from wrinkle.datasets.store import Store
from wrinkle.faces.input import InputSpec
from wrinkle.files import read_tensors, write_tensors
from wrinkle.models import AgeModel

EXTRAS_FILE = "extras.safetensors"


def plain_views(
    store: Store,
    rows: np.ndarray,
    spec: InputSpec,
    device: torch.device,
    workers: int,
    between: Callable[[], None],
    what: str,
    batch: int = 64,
) -> Iterator[Tensor]:
    """Faces of `rows` without augmentation, batches (B, 3, S, S) in [0, 1], with a progress bar.

    Args:
        between: called after every batch; an exception of it ends the work in order.
        what: the bar's label.
    """
    starts = range(0, len(rows), batch)
    draws = [[Draw(0, int(row), 0) for row in rows[start : start + batch]] for start in starts]
    loader = create_loader(Faces(store, spec), draws, workers, device)
    quiet = 0.5 if sys.stderr.isatty() else 30
    with tqdm(total=len(rows), desc=what, unit="img", mininterval=quiet) as bar:
        for item in read_batches(loader, device):
            yield spec.pixels(item.crop, item.matrix)
            bar.update(len(item.crop))
            between()


def has_row_extras(network: AgeModel) -> bool:
    """Whether the network defines `row_extras`."""
    return type(network).row_extras is not AgeModel.row_extras


@torch.inference_mode()
def compute_extras(network: AgeModel, views: Iterable[Tensor]) -> dict[str, Tensor]:
    """`row_extras` of plain views and of their mirror images: by name, (N, 2, …).

    Args:
        views: batches (B, 3, S, S) in [0, 1], as `plain_views` gives them.
    """
    found: dict[str, list[Tensor]] = {}
    network.eval()
    for pictures in views:
        mean, std = (pictures.new_tensor(v).view(3, 1, 1) for v in (network.mean, network.std))
        images = (pictures - mean) / std
        plain, mirrored = (network.row_extras(each) for each in (images, images.flip(-1)))
        for name in plain:
            found.setdefault(name, []).append(torch.stack([plain[name], mirrored[name]], 1).cpu())
    return {name: torch.cat(parts) for name, parts in found.items()}


def write_extras(folder: Path, rows: np.ndarray, extras: dict[str, Tensor]) -> None:
    """Write the extras of some rows to the fold's folder."""
    write_tensors(
        folder / EXTRAS_FILE, {"rows": torch.from_numpy(rows), **extras}, {"kind": "extras"}
    )


def read_extras(folder: Path, count: int) -> dict[str, np.ndarray]:
    """Extras of all `count` rows of a store, (count, 2, …) float32; NaN where not computed."""
    tensors, _ = read_tensors(folder / EXTRAS_FILE, "extras")
    rows = tensors.pop("rows").numpy()
    every = {}
    for name, values in tensors.items():
        every[name] = np.full((count, *values.shape[1:]), np.nan, np.float32)
        every[name][rows] = values.numpy()
    return every
