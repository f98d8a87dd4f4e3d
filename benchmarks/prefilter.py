"""Fit the detector's prefilter: which windows of a picture are worth a run of MTCNN's P-Net.

    python benchmarks/prefilter.py prefilter.safetensors LFW UTKFACE FAIRFACE --photographs 3000

Photographs are scaled so that their face has 9.5 to 19 pixels, as in the level of the pyramid that
shows it, or is larger: then its surroundings are examples of what is not a face. A cell is a face
if P-Net finds one there that overlaps a true one; what is inside large faces does not count. The
packaged file comes from 3,000 photographs each of LFW (names A to Q) and of the training parts of
UTKFace and FairFace; its threshold was chosen on composed pictures of other photographs.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits

from wrinkle.faces.decode import decode
from wrinkle.faces.detectors.mtcnn import MTCNN
from wrinkle.faces.detectors.mtcnn.nets import Prefilter
from wrinkle.faces.detectors.mtcnn.pixels import normalise
from wrinkle.files import write_tensors

SIDE = 96
"""Of a training picture in pixels."""
CELLS = (SIDE - Prefilter.side) // Prefilter.stride + 1
WEIGHTS = torch.tensor([1.0, 4.0, 0.0, 12.0])
"""Of cells without a face, with one, that do not count, and with one that P-Net is sure of."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--photographs", type=int, default=2500, help="of each folder")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--threshold", type=float, default=-0.5, help="logit of a cell that passes")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    paths = []
    for folder in args.folders:
        own = sorted(folder.rglob("*.jpg"))
        paths += [own[i] for i in rng.permutation(len(own))[: args.photographs]]
    detector = MTCNN()
    pictures, boxes = examples(detector, paths, rng)
    cells = label(detector, pictures, boxes)
    net = fit(pictures, cells, args.epochs)
    net.features[4].bias.data -= args.threshold
    source = "fitted by benchmarks/prefilter.py"
    header = {"kind": "detector", "name": "prefilter", "source": source}
    write_tensors(args.out, net.state_dict(), header)


def examples(
    detector: MTCNN, paths: list[Path], rng: np.random.Generator
) -> tuple[torch.Tensor, list[list[np.ndarray]]]:
    """Pictures (N, SIDE, SIDE, 3) uint8 and the boxes of their faces, four of each photograph."""
    pictures, boxes = [], []
    for start in range(0, len(paths), 32):
        images = [varied(decode(path), rng) for path in paths[start : start + 32]]
        for image, faces in zip(images, detector(images), strict=True):
            if not faces or faces[0].score < 0.95:
                continue
            for low, high in ((9.5, 19), (9.5, 19), (20, 150), (20, 150)):
                scale = np.exp(rng.uniform(np.log(low), np.log(high))) / faces[0].side
                size = [max(round(side * scale), 8) for side in image.shape[1::-1]]
                method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
                small = exposed(cv2.resize(image, size, interpolation=method), rng)
                picture, shift = framed(small, rng)
                exact = np.tile(np.array(size) / image.shape[1::-1], 2)
                pictures.append(picture)
                boxes.append([face.box * exact + np.tile(shift, 2) for face in faces])
    return torch.from_numpy(np.stack(pictures)), boxes


def varied(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A photograph, turned by up to 25°, mirrored or grey."""
    if rng.random() < 0.4:
        height, width = image.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-25, 25), 1)
        image = cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
    if rng.random() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
    if rng.random() < 0.15:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    return image


def exposed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture with another contrast, brightness and grain."""
    values = picture.astype(np.float32)
    contrast = rng.uniform(0.35, 1.15) if rng.random() < 0.6 else 1.0
    brighter = rng.uniform(-30, 30) if rng.random() < 0.5 else 0.0
    mean = values.mean()
    values = (values - mean) * contrast + np.clip(mean + brighter, 20, 235)
    if rng.random() < 0.3:
        values += rng.normal(0, rng.uniform(1, 8), values.shape)
    return values.clip(0, 255).astype(np.uint8)


def framed(picture: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A picture cropped or padded to SIDE, and by how much (x, y) it was shifted."""
    gaps = [SIDE - side for side in picture.shape[1::-1]]
    x, y = (int(rng.integers(min(0, gap), max(0, gap) + 1)) for gap in gaps)
    canvas = np.full((SIDE, SIDE, 3), rng.integers(0, 256, 3), np.uint8)
    part = picture[max(-y, 0) : SIDE - y, max(-x, 0) : SIDE - x]
    top, left = max(y, 0), max(x, 0)
    canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
    return canvas, np.array([x, y])


@torch.inference_mode()
def label(detector: MTCNN, pictures: torch.Tensor, boxes: list[list[np.ndarray]]) -> torch.Tensor:
    """Of each cell (N, CELLS, CELLS) its index in WEIGHTS."""
    cells = torch.zeros(len(pictures), CELLS, CELLS, dtype=torch.long)
    for number, own in enumerate(boxes):
        score = detector.pnet(normalise(pictures[number : number + 1]))[0][0].numpy()
        y, x = 2 * np.mgrid[: len(score), : len(score)]
        overlap, ignored = np.zeros(score.shape), np.zeros(score.shape, bool)
        for x1, y1, x2, y2 in own:
            across = np.clip(np.minimum(x + 12, x2) - np.maximum(x, x1), 0, None)
            down = np.clip(np.minimum(y + 12, y2) - np.maximum(y, y1), 0, None)
            union = 144 + (x2 - x1) * (y2 - y1) - across * down
            overlap = np.maximum(overlap, across * down / union)
            if max(x2 - x1, y2 - y1) > 24:
                ignored |= (across > 3) & (down > 3)
        found = (overlap > 0.35) & (score > 0.6)
        kinds = {2: (overlap > 0.2) | ignored, 1: found, 3: found & (score > 0.9)}
        for kind, mask in kinds.items():
            windows = mask[: 2 * CELLS, : 2 * CELLS].reshape(CELLS, 2, CELLS, 2)
            cells[number][torch.from_numpy(windows.any((1, 3)))] = kind
    return cells


def fit(pictures: torch.Tensor, cells: torch.Tensor, epochs: int, batch: int = 64) -> Prefilter:
    torch.manual_seed(0)
    net = Prefilter()
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=1e-4)
    steps = epochs * (len(pictures) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, steps)
    for epoch in range(epochs):
        total = 0.0
        for part in torch.randperm(len(pictures)).split(batch)[: len(pictures) // batch]:
            scores = net.features(avg_pool2d(normalise(pictures[part]), 2))[:, 0]
            kind = cells[part]
            losses = binary_cross_entropy_with_logits(
                scores, (kind % 2).float(), WEIGHTS[kind], reduction="sum"
            )
            loss = losses / WEIGHTS[kind].sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total * epochs / steps:.4f}")
    return net


if __name__ == "__main__":
    main()
