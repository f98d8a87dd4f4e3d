"""Where a network with patches looks, found once per picture and kept for all epochs."""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from wrinkle.datasets.loader import Draw, Faces, create_loader, read_batches
from wrinkle.datasets.store import Store
from wrinkle.faces.align import face_input
from wrinkle.files import read_tensors, write_tensors
from wrinkle.models import AgeModel
from wrinkle.runs import recipe

PATCHES_FILE = "patches.safetensors"


@torch.inference_mode()
def find_patches(network: AgeModel, views: Iterable[Tensor]) -> Tensor:
    """Boxes in plain views and in their mirror pictures, (N, 2, n, 4) in [−1, 1].

    views: batches (B, 3, S, S) in [0, 1], as `plain_views` gives them.
    """
    boxes = [torch.zeros(0, 2, network.patches, 4)]
    network.eval()
    for pictures in views:
        mean, std = (pictures.new_tensor(v).view(3, 1, 1) for v in (network.mean, network.std))
        images = (pictures - mean) / std
        both = [network.find_patches(each) for each in (images, images.flip(-1))]
        boxes.append(torch.stack(both, 1).cpu())
    return torch.cat(boxes)


def plain_views(
    store: Store,
    rows: np.ndarray,
    view: recipe.Input,
    device: torch.device,
    workers: int,
    between: Callable[[], None],
    what: str,
    batch: int = 64,
) -> Iterator[Tensor]:
    """Faces of `rows` without augmentation, (B, 3, S, S) in [0, 1], with a progress bar for `what`.

    between: called after every batch; what it raises ends the work in order.
    """
    faces = Faces(store, view.size, view.zoom)
    starts = range(0, len(rows), batch)
    draws = [[Draw(0, int(row), 0) for row in rows[start : start + batch]] for start in starts]
    loader = create_loader(faces, draws, workers, device)
    quiet = 0.5 if sys.stderr.isatty() else 30
    with tqdm(total=len(rows), desc=what, unit="img", mininterval=quiet) as bar:
        for item in read_batches(loader, device):
            yield face_input(item.crop, item.matrix, view.size, (0, 0, 0), (1, 1, 1))
            bar.update(len(item.crop))
            between()


def write_patches(folder: Path, rows: np.ndarray, boxes: Tensor) -> None:
    tensors = {"rows": torch.from_numpy(rows), "boxes": boxes}
    write_tensors(folder / PATCHES_FILE, tensors, {"kind": "patches"})


def read_patches(folder: Path, count: int) -> np.ndarray:
    """Of all `count` rows of a store, (count, 2, n, 4) float32; NaN where none were looked for."""
    tensors, _ = read_tensors(folder / PATCHES_FILE, "patches")
    boxes = tensors["boxes"].numpy()
    every = np.full((count, *boxes.shape[1:]), np.nan, np.float32)
    every[tensors["rows"].numpy()] = boxes
    return every
