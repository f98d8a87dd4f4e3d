"""The patches of ADPF and its predecessor: overlap, share on the face, spread, and time.

    wrinkle train recipes/adpf.yaml size=small                                          # and others
    cd runs/adpf
    python …/benchmarks/patches.py …/fgnet.arrow utkface-small{,-predecessor}/*/model.safetensors

Per model, over the faces of the store: the mean intersection over union of all pairs of a face's
patches; the share of the patches' area inside the hull of the face's 68 landmarks (a store with
landmarks: FG-NET), beside that of the same boxes at random positions; a patch's side; the
standard deviation over faces of its middle and of its side, in hundredths of the picture's side. An
AttentionNet's patches are those its maps would cut out. `--figure FILE` shows how the overlaps are
spread and where the patches' middles lie. `--time N` adds what finding the patches costs: per face,
and for the predecessor the choice itself, over the first N faces.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from wrinkle.datasets.loader import Draw, Faces, create_loader, read_batches
from wrinkle.datasets.store import Store
from wrinkle.faces.align import transform
from wrinkle.faces.input import InputSpec
from wrinkle.models import AgeModel, create_model
from wrinkle.models.attention_net import AttentionNet
from wrinkle.models.bio_inspired import FixedPatchFusion
from wrinkle.models.file import load_model
from wrinkle.models.fusion_net import FusionNet

CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--time", type=int, metavar="N")
    args = parser.parse_args()
    store = Store(args.store)
    print("| model | mean pairwise IoU | on the face, % | laid at random, % | side ", end="")
    print("| deviation of the middle | of the side |\n|---|" + "---:|" * 6)
    found = {}
    for path in args.models:
        model, header = load_model(path)
        name = Path(path).parts[-3] if path.name == "model.safetensors" else path.stem
        spec = InputSpec.from_header(header["input"])
        boxes = find(model, spec, store)
        found[name] = boxes
        print(f"| {name} | {describe(boxes, store, spec)} |", flush=True)
    if args.figure:
        draw(found, args.figure)
    if args.time:
        for path in args.models:
            time_of(path, store, args.time)


def views(spec: InputSpec, store: Store, rows: range) -> list[Tensor]:
    """Batches of the network's inputs."""
    faces = Faces(store, spec)
    draws = [[Draw(0, row, 0) for row in rows[i : i + 64]] for i in range(0, len(rows), 64)]
    loader = create_loader(faces, draws, 0, CPU)
    return [spec.images(item.crop, item.matrix) for item in read_batches(loader, CPU)]


@torch.inference_mode()
def find(model: AgeModel, spec: InputSpec, store: Store) -> np.ndarray:
    """(N, n, 4) in [−1, 1], the best patch first."""
    parts = [locate(model, images) for images in views(spec, store, range(len(store)))]
    return torch.cat(parts).double().numpy()


def locate(model: AgeModel, images: Tensor) -> Tensor:
    assert isinstance(model, AttentionNet | FusionNet)
    return model.find_patches(images)


def describe(boxes: np.ndarray, store: Store, spec: InputSpec) -> str:
    sides = np.sqrt((boxes[..., 2:] - boxes[..., :2]).prod(-1)) / 2
    middles = (boxes[..., 2:] + boxes[..., :2]) / 4
    on_face, at_random = shares(boxes, store, spec)
    return (
        f"{overlap(boxes).mean():.3f} | {100 * on_face:.1f} | {100 * at_random:.1f} "
        f"| {100 * sides.mean():.1f} | {100 * middles.std(0).mean():.1f} "
        f"| {100 * sides.std(0).mean():.1f}"
    )


def overlap(boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair of a face's patches: (N, n (n − 1) / 2)."""
    first, second = np.triu_indices(boxes.shape[1], 1)
    a, b = boxes[:, first], boxes[:, second]
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clip(0).prod(-1)
    areas = [(each[..., 2:] - each[..., :2]).prod(-1) for each in (a, b)]
    return shared / (areas[0] + areas[1] - shared)


def shares(boxes: np.ndarray, store: Store, spec: InputSpec) -> tuple[float, float]:
    """Share of the patches' area inside the landmarks' hull, and of the same boxes at random."""
    random, size = np.random.default_rng(0), spec.size
    matrices = spec.matrices(np.asarray(store.key_points, np.float64))
    here, there = [], []
    for row, own in enumerate(boxes):
        landmarks = store.landmarks(row)
        if landmarks is None:
            continue
        hull = cv2.convexHull(transform(matrices[row], landmarks).astype(np.float32))
        inside = cv2.fillConvexPoly(np.zeros((size, size), np.uint8), np.rint(hull).astype(int), 1)
        pixels = np.rint((own + 1) * size / 2).astype(int)
        for x1, y1, x2, y2 in pixels:
            here.append(inside[y1:y2, x1:x2].mean())
            x, y = (int(random.integers(size - s + 1)) for s in (x2 - x1, y2 - y1))
            there.append(inside[y : y + y2 - y1, x : x + x2 - x1].mean())
    return (float(np.mean(here)), float(np.mean(there))) if here else (float("nan"),) * 2


def draw(found: dict[str, np.ndarray], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure((3.2 * (len(found) + 1), 3.4), layout="constrained")
    axes = figure.subplots(1, len(found) + 1)
    for (name, boxes), panel in zip(found.items(), axes[1:], strict=True):
        values = np.sort(overlap(boxes).mean(1))
        axes[0].plot(values, np.arange(1, len(values) + 1) / len(values), label=name)
        middles = (boxes[..., 2:] + boxes[..., :2]) / 2
        for k in range(boxes.shape[1]):
            panel.scatter(*middles[:, k].T, s=3, alpha=0.5, label=f"P{k + 1}")
        panel.set(title=name, xlim=(-1, 1), ylim=(1, -1), aspect="equal", xticks=[], yticks=[])
    axes[0].set(xlabel="mean overlap (IoU) of a face's patches", ylabel="share of faces", xlim=(0))
    axes[0].legend(frameon=False, fontsize=8, loc="lower right")
    marks, names = axes[1].get_legend_handles_labels()
    figure.legend(marks, names, loc="outside lower right", ncols=9, markerscale=3, frameon=False)
    figure.savefig(path, dpi=110)


def time_of(path: Path, store: Store, count: int) -> None:
    model, header = load_model(path)
    spec = InputSpec.from_header(header["input"])
    images = views(spec, store, range(min(count, len(store))))
    faces = sum(map(len, images))
    if isinstance(model, FixedPatchFusion):
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model.mean, model.std))
        plain = [batch * std + mean for batch in images]
        fresh = create_model(header["model"]["name"], **header["model"]["fields"])
        assert isinstance(fresh, FixedPatchFusion)
        began = time.perf_counter()
        fresh.before_training(plain, torch.from_numpy(np.asarray(store.ages)[:faces]))
    else:
        with torch.inference_mode():
            locate(model, images[0])
            began = time.perf_counter()
            for batch in images:
                locate(model, batch)
    seconds = time.perf_counter() - began
    print(f"{path}: {seconds:.1f} s for {faces} faces, {1000 * seconds / faces:.2f} ms a face")


if __name__ == "__main__":
    main()
