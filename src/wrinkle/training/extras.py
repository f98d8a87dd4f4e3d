"""Row extras: tensors that a network computes once for each row, stored in the fold's folder."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wrinkle.console import progress
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
    """Read faces without augmentation, with a progress bar.

    Args:
        store: the faces.
        rows: (N,).
        spec: the network's input.
        device: where the batches will be.
        workers: processes that decode faces.
        between: called after every batch; it may raise an exception to stop.
        what: label of the progress bar.
        batch: faces in a batch.

    Yields:
        Batches (B, 3, S, S) in [0, 1].
    """
    starts = range(0, len(rows), batch)
    draws = [[Draw(0, int(row), 0) for row in rows[start : start + batch]] for start in starts]
    loader = create_loader(Faces(store, spec), draws, workers, device)
    with progress(what=what, unit="img", total=len(rows)) as bar:
        for item in read_batches(loader, device):
            yield spec.pixels(item.crop, item.matrix)
            bar.update(len(item.crop))
            between()


def has_row_extras(network: AgeModel) -> bool:
    """Return whether a network defines `row_extras`."""
    return type(network).row_extras is not AgeModel.row_extras


@torch.inference_mode()
def compute_extras(network: AgeModel, views: Iterable[Tensor]) -> dict[str, Tensor]:
    """Compute row extras of plain views and of their mirror images.

    Args:
        network: the network; it is left in evaluation mode.
        views: batches (B, 3, S, S) in [0, 1], as `plain_views` yields them.

    Returns:
        Name → (N, 2, …), on the CPU.
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


def ensure_extras(
    folder: Path, rows: np.ndarray, network: AgeModel, views: Iterable[Tensor]
) -> None:
    """Compute row extras and write them to the fold's folder, unless they are there.

    Args:
        folder: of the fold.
        rows: (N,) rows of the store.
        network: the network.
        views: of the rows, as for `compute_extras`.
    """
    if not (folder / EXTRAS_FILE).exists():
        write_extras(folder, rows, compute_extras(network, views))


def write_extras(folder: Path, rows: np.ndarray, extras: dict[str, Tensor]) -> None:
    """Write row extras to the fold's folder.

    Args:
        folder: of the fold.
        rows: (N,) rows of the store.
        extras: name → (N, 2, …).
    """
    write_tensors(
        folder / EXTRAS_FILE, {"rows": torch.from_numpy(rows), **extras}, {"kind": "extras"}
    )


def read_extras(folder: Path, count: int) -> dict[str, np.ndarray]:
    """Read row extras from the fold's folder.

    Args:
        folder: of the fold.
        count: number of rows of the store.

    Returns:
        Name → (count, 2, …) float32; NaN in rows that were not computed.

    Raises:
        WrinkleError: the file is damaged.
    """
    tensors, _ = read_tensors(folder / EXTRAS_FILE, "extras")
    rows = tensors.pop("rows").numpy()
    every = {}
    for name, values in tensors.items():
        every[name] = np.full((count, *values.shape[1:]), np.nan, np.float32)
        every[name][rows] = values.numpy()
    return every
