"""The patches of ADPF and its predecessor: what they say of the age, overlap, spread, and time.

    wrinkle train recipes/adpf.yaml size=small                                          # and others
    cd runs/adpf
    python …/benchmarks/patches.py …/utkface.arrow utkface-small{,-predecessor}/*/model.safetensors

Per model, over `--faces` faces of a part of the store: the change of the age in years if a patch's
box is covered, if places of the same size are, and at the best of these (`wrinkle.evaluation.
occlusion`); the mean intersection over union of the pairs of a face's patches, of one rank's
patches in pairs of faces, and of a patch with that of the mirror image, mirrored back; a patch's
side; the standard deviation over faces of its middle and of its side, in hundredths of the
picture's side. An AttentionNet's patches are those its maps would cut out. `--figure FILE` shows
how the overlaps are spread and where the patches' middles lie. `--time N` adds what finding the
patches costs: per face, and for the predecessor the choice itself, over the first N faces.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wrinkle.datasets.loader import Draw, Faces, create_loader, read_batches
from wrinkle.datasets.store import Store
from wrinkle.evaluation.occlusion import Occlusion, occlusion
from wrinkle.faces.input import InputSpec
from wrinkle.inference.provenance import split_rows
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
    parser.add_argument("--protocol", default="utkface")
    parser.add_argument("--split", default="test", help="train, validation, test or all")
    parser.add_argument("--faces", type=int, default=500)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--time", type=int, metavar="N")
    args = parser.parse_args()
    store = Store(args.store)
    protocol = None if args.split == "all" else args.protocol
    rows = split_rows(store, args.split, protocol)
    rows = rows[np.linspace(0, len(rows) - 1, min(args.faces, len(rows))).astype(int)]
    print(f"{len(rows)} faces\n| model | covered | at random | ratio | best place ", end="")
    print("| IoU: of a face | of two faces | of the mirror image | side ", end="")
    print("| deviation of the middle | of the side |\n|---|" + "---:|" * 10)
    found = {}
    for path in args.models:
        model, header = load_model(path)
        name = Path(path).parts[-3] if path.name == "model.safetensors" else path.stem
        spec = InputSpec.from_header(header["input"])
        faces = views(spec, store, rows)
        boxes, mirrored = find(model, faces)
        found[name] = boxes
        changes = covering(model, faces, boxes)
        print(f"| {name} | {changes} | {describe(boxes, mirrored)} |", flush=True)
    if args.figure:
        draw(found, args.figure)
    if args.time:
        for path in args.models:
            time_of(path, store, args.time)


def views(spec: InputSpec, store: Store, rows: np.ndarray) -> list[tuple[Tensor, Tensor]]:
    """Batches of the network's inputs: images and key points."""
    draws = [[Draw(0, int(row), 0) for row in rows[i : i + 50]] for i in range(0, len(rows), 50)]
    loader = create_loader(Faces(store, spec), draws, 0, CPU)
    items = read_batches(loader, CPU)
    return [(spec.images(item.crop, item.matrix), item.key_points) for item in items]


@torch.inference_mode()
def find(model: AgeModel, faces: list[tuple[Tensor, Tensor]]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, n, 4) in [−1, 1], the best patch first, and those of the mirror images."""
    parts = [(locate(model, images), locate(model, images.flip(-1))) for images, _ in faces]
    own, mirrored = (torch.cat(each).double().numpy() for each in zip(*parts, strict=True))
    return own, mirrored


def locate(model: AgeModel, images: Tensor) -> Tensor:
    assert isinstance(model, AttentionNet | FusionNet)
    return model.find_patches(images)


def covering(model: AgeModel, faces: list[tuple[Tensor, Tensor]], boxes: np.ndarray) -> str:
    """Changes of the age at the boxes, at random places, their ratio, and at the best place."""
    given = torch.from_numpy(boxes).float().split([len(images) for images, _ in faces])
    parts = [
        occlusion(model, images, points, own)
        for (images, points), own in zip(faces, given, strict=True)
    ]
    every = Occlusion(*(torch.cat(column) for column in zip(*parts, strict=True)))
    regions, anywhere, best = (float(changes.mean()) for changes in every)
    return f"{regions:.2f} | {anywhere:.2f} | {every.ratio:.2f} | {best:.2f}"


def describe(boxes: np.ndarray, mirrored: np.ndarray) -> str:
    sides = np.sqrt((boxes[..., 2:] - boxes[..., :2]).prod(-1)) / 2
    middles = (boxes[..., 2:] + boxes[..., :2]) / 4
    back = mirrored[..., [2, 1, 0, 3]] * [-1, 1, -1, 1]
    order = np.random.default_rng(0).permutation(len(boxes))
    return (
        f"{overlap(boxes).mean():.3f} | {iou(boxes, boxes[order]).mean():.2f} "
        f"| {iou(boxes, back).mean():.2f} | {100 * sides.mean():.1f} "
        f"| {100 * middles.std(0).mean():.1f} | {100 * sides.std(0).mean():.1f}"
    )


def overlap(boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair of a face's patches: (N, n (n − 1) / 2)."""
    first, second = np.triu_indices(boxes.shape[1], 1)
    return iou(boxes[:, first], boxes[:, second])


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (…, 4)."""
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clip(0).prod(-1)
    areas = [(each[..., 2:] - each[..., :2]).prod(-1) for each in (a, b)]
    ratio: np.ndarray = shared / (areas[0] + areas[1] - shared)
    return ratio


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
    images = [each for each, _ in views(spec, store, np.arange(min(count, len(store))))]
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
